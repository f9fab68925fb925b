"""Where a prediction breaks the truth's tree: which parts of the centre lines it answers, in which pieces.

A pixel of the prediction at most `tolerance` from the truth's centre line answers that pixel of it which is
nearest. So a prediction that is shifted, thinner or wider answers all of it, one beside a vessel does not answer
that vessel's neighbour, and what a cut separates is answered by separate pieces: 8-connected components of the
prediction, near the truth only, so that no false bridge through the background heals a cut.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.sparse import csr_array

from refvessel.metrics.centre_lines import CentreLines

MISSED = -1
_NEAREST = 0.5  # pixels by which another pixel of the centre line may be nearer


@dataclass(frozen=True)
class Answered:
    """Of each pixel of the truth's centre lines, the piece of the prediction that answers it.

    piece: int64 (n,), numbered from 0, or MISSED. No piece is in two trees of the truth; of each tree the piece
        with the greatest length comes first, its main one.
    trees: int64, of each piece the number of its tree.
    """

    piece: np.ndarray
    trees: np.ndarray


def answered(prediction: np.ndarray, truth: np.ndarray, lines: CentreLines, tolerance: int) -> Answered:
    """Which piece of a prediction answers which pixel of the truth's centre lines.

    Where several components answer the same pixels, such as two walls of one vessel or a speck in it, the one
    that answers most of the tree has them. A component that then has less than `tolerance` pixels of length left
    is no piece.

    Args:
        prediction, truth: bool arrays of one shape (height, width).
        lines: the centre lines of `truth`.
        tolerance: pixels.
    """
    point, label = _answers(_components_near(prediction, truth, tolerance), lines, tolerance)
    piece = np.full(len(lines.points), MISSED)
    trees: list[int] = []
    if not len(point):
        return Answered(piece, np.zeros(0, np.int64))
    keys = lines.tree[point] * (label.max() + 1) + label
    _, key = np.unique(keys, return_inverse=True)
    lengths, whole = np.bincount(key, lines.length[point]), np.bincount(lines.tree, lines.length)
    by_key = np.split(point[np.argsort(key, kind="stable")], np.cumsum(np.bincount(key))[:-1])
    for each in np.argsort(-lengths, kind="stable"):
        left = by_key[each][piece[by_key[each]] == MISSED]
        tree = lines.tree[by_key[each][0]]
        if lines.length[left].sum() >= min(tolerance, whole[tree]):
            piece[left] = len(trees)
            trees.append(int(tree))
    return Answered(_without_lone_misses(piece, lines), np.array(trees, np.int64))


def _without_lone_misses(piece: np.ndarray, lines: CentreLines) -> np.ndarray:
    """The pieces, where a missed pixel between pixels of one piece is of it, too: corners of staircases are
    nearest to nothing."""
    inner = np.flatnonzero((piece == MISSED) & (lines.degree > 1))
    around = [piece[lines.neighbours(int(each))] for each in inner]
    filled = piece.copy()
    filled[inner] = [each[0] if (each == each[0]).all() else MISSED for each in around]
    return filled


def _components_near(prediction: np.ndarray, truth: np.ndarray, tolerance: int) -> np.ndarray:
    """Labels of the prediction's components among the pixels near the truth; 0 elsewhere.

    Near is within twice the tolerance, in rows and columns: what leaves the centre line by more than the
    tolerance and comes back stays one piece.
    """
    near = _widened(truth, 2 * tolerance)
    labels, _ = ndimage.label(prediction & near, np.ones((3, 3), bool))  # SciPy, as `Labels` says
    return labels


def _widened(mask: np.ndarray, by: int) -> np.ndarray:
    """Dilation by a square of `by` pixels to each side."""
    wide = mask.copy()
    for lines in (wide, wide.T):
        reach = 0
        while reach < by:
            step = min(2 * reach + 1, by - reach)  # the longest that leaves no hole
            before = lines.copy(order="K")
            lines[step:] |= before[:-step]
            lines[:-step] |= before[step:]
            reach += step
    return wide


def _answers(labels: np.ndarray, lines: CentreLines, tolerance: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a pixel of the centre lines and a component that answers it, each pair once."""
    padded = np.pad(labels, tolerance)
    places = np.ravel_multi_index((lines.points + tolerance).T, padded.shape)
    span = np.arange(-tolerance, tolerance + 1)
    down, right = (each.ravel() for each in np.meshgrid(span, span, indexing="ij"))
    far = np.hypot(down, right)
    order = np.argsort(-far, kind="stable")
    order = order[far[order] <= tolerance]
    offsets = [(far[each], down[each] * padded.shape[1] + right[each]) for each in order]
    nearest = np.full(padded.size, np.inf)
    for distance, offset in offsets:  # the farthest first: the nearest has the last word
        nearest[places + offset] = distance
    points, found = [], []
    flat = padded.ravel()
    for distance, offset in offsets:
        beside = places + offset
        hit = np.flatnonzero((flat[beside] > 0) & (distance <= nearest[beside] + _NEAREST))
        points.append(hit)
        found.append(flat[beside[hit]])
    pairs = np.concatenate(points), np.concatenate(found)
    each_once = csr_array((np.ones(len(pairs[0]), bool), pairs), shape=(len(lines.points), labels.max() + 1))
    point, label = each_once.nonzero()
    return point, label.astype(np.int64)
