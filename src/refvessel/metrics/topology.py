"""Whether two masks have the same vessels: skeletons, components, loops, branches.

Foreground is 8-connected, background 4-connected, as vessels one pixel wide need it.
"""

from dataclasses import dataclass
from functools import cached_property

import cc3d
import numpy as np
from scipy import ndimage
from skimage.morphology import skeletonize

from refvessel.geometry import near

TOPOLOGY_SCORES = (
    "cldice",
    "skeleton_precision",
    "skeleton_recall",
    "betti0_error",
    "betti1_error",
    "cal",
    "branch_point_error",
    "end_point_error",
)

CONNECTIVITY = {"foreground": 8, "holes": 4}
_EIGHT_NEIGHBOURS = np.ones((3, 3), bool)
_CAL_RADIUS = 2  # pixels; alpha and beta of the paper
# The eight neighbours (row, column) once around.
_RING = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))


@dataclass(frozen=True)
class Labels:
    """The components of a bool mask, and those of what is not in it.

    components: of the mask, 8-connected; integers of its shape (height, width), 0 outside the mask.
    background: of the mask's complement in an image that is larger by a pixel on each side, 4-connected; integers
        of shape (height + 2, width + 2), 0 inside the mask. All but the one around everything are holes.
    """

    components: np.ndarray
    background: np.ndarray

    @classmethod
    def of(cls, mask: np.ndarray) -> "Labels":
        """The labels of a mask."""
        # SciPy, as cc3d's 8-connected labels of masks of odd width spill into the background.
        components, _ = ndimage.label(mask, _EIGHT_NEIGHBOURS)
        return cls(components, np.asarray(cc3d.connected_components(~np.pad(mask, 1), connectivity=4)))

    @cached_property
    def outside(self) -> int:
        """The label of the background around everything, which is no hole."""
        return int(self.background[0, 0])

    @cached_property
    def betti_numbers(self) -> tuple[int, int]:
        """Numbers of components and of holes."""
        return int(self.components.max(initial=0)), int(self.background.max()) - 1


@dataclass(frozen=True)
class Topology:
    """A bool mask of shape (height, width), its skeleton of that shape, and what is counted on the two."""

    mask: np.ndarray
    skeleton: np.ndarray
    labels: Labels
    branch_points: int
    end_points: int

    @classmethod
    def of(cls, mask: np.ndarray) -> "Topology":
        """The topology of a mask."""
        centre_lines = skeleton(mask)
        return cls(mask, centre_lines, Labels.of(mask), *skeleton_points(centre_lines))

    @property
    def components(self) -> int:
        """How many, 8-connected."""
        return self.labels.betti_numbers[0]

    @property
    def holes(self) -> int:
        """How many, 4-connected: background that does not reach the image's edge."""
        return self.labels.betti_numbers[1]


def topology_scores(prediction: Topology, truth: Topology) -> dict[str, float]:
    """The scores of two masks of one shape; NaN where a formula is 0/0.

    skeleton_precision  share of the prediction's skeleton inside the truth
    skeleton_recall     share of the truth's skeleton inside the prediction
    cldice              harmonic mean of the two (Shit et al., CVPR 2021)
    betti0_error        difference of the numbers of components
    betti1_error        difference of the numbers of holes
    cal                 see `cal`
    branch_point_error  difference of the numbers of branch points of the skeletons
    end_point_error     difference of the numbers of their end points
    """
    precision = _share(prediction.skeleton, truth.mask)
    recall = _share(truth.skeleton, prediction.mask)
    return {
        "cldice": _harmonic_mean(precision, recall),
        "skeleton_precision": precision,
        "skeleton_recall": recall,
        "betti0_error": abs(prediction.components - truth.components),
        "betti1_error": abs(prediction.holes - truth.holes),
        "cal": cal(prediction, truth),
        "branch_point_error": abs(prediction.branch_points - truth.branch_points),
        "end_point_error": abs(prediction.end_points - truth.end_points),
    }


def skeleton(mask: np.ndarray) -> np.ndarray:
    """Centre lines one pixel wide (Zhang and Suen 1984, scikit-image), as a bool mask."""
    return skeletonize(mask)


def cal(prediction: Topology, truth: Topology) -> float:
    """Connectivity times area times length, 0 to 1; NaN where the truth is empty.

    With S the prediction, G the truth, #C components, # pixels, sk the skeleton and d dilation by a disc of
    radius 2:

        C = 1 - min(1, |#C(G) - #C(S)| / #G)
        A = #((d(S) & G) | (S & d(G))) / #(S | G)
        L = #((sk(S) & d(G)) | (d(S) & sk(G))) / #(sk(S) | sk(G))

    Gegundez-Arias et al., "A function for quality evaluation of retinal vessel segmentations", IEEE TMI 31
    (2012).
    """
    if not truth.mask.any():
        return np.nan
    wide_prediction, wide_truth = (near(each.mask, _CAL_RADIUS) for each in (prediction, truth))
    matched = (wide_prediction & truth.mask) | (prediction.mask & wide_truth)
    matched_lines = (prediction.skeleton & wide_truth) | (wide_prediction & truth.skeleton)
    connectivity = 1 - min(1, abs(truth.components - prediction.components) / _pixels(truth.mask))
    area = _pixels(matched) / _pixels(prediction.mask | truth.mask)
    length = _pixels(matched_lines) / _pixels(prediction.skeleton | truth.skeleton)
    return connectivity * area * length


def skeleton_points(skeleton: np.ndarray) -> tuple[int, int]:
    """Numbers of branch points and of end points of a skeleton.

    Both follow from a pixel's crossing number, the separate runs of skeleton pixels around it: an end has one, a
    branching pixel three or more. Branching pixels that touch are one branch point.
    """
    padded = np.pad(skeleton, 1)
    rows, columns = np.divmod(np.flatnonzero(padded), padded.shape[1])
    around = np.stack([padded[rows + row, columns + column] for row, column in _RING])  # (8, pixels)
    runs = (around & ~np.roll(around, 1, axis=0)).sum(axis=0)
    branching = np.zeros_like(padded)
    branching[rows[runs >= 3], columns[runs >= 3]] = True
    _, branches = cc3d.connected_components(branching, connectivity=8, return_N=True)
    return int(branches), int((runs == 1).sum())


_pixels = np.count_nonzero  # several times faster than the sum of a bool array


def _share(skeleton: np.ndarray, mask: np.ndarray) -> float:
    pixels = _pixels(skeleton)
    return _pixels(skeleton & mask) / pixels if pixels else np.nan


def _harmonic_mean(first: float, second: float) -> float:
    if first + second == 0:
        return 0.0
    return 2 * first * second / (first + second)
