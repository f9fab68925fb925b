"""The breaks of a predicted tree, and how much of the truth's tree it still connects.

A break is a connection of the truth's tree that the prediction misses:

gap     the prediction goes on behind it. Of k pieces that answer one tree there are k - 1, each at the shortest
        gap to what leads to the main piece; a cut in a loop disconnects nothing.
lost    nothing of what lies behind is found, and that is a whole branch, or several, or the whole tree. Where a
        branch is found and ends too early, a tip is missing, not a connection.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order

from refvessel.metrics.centre_lines import CentreLines
from refvessel.metrics.connections import MISSED, Answered, answered

BREAK_SCORES = ("connectivity", "breaks")
GAP, LOST = "gap", "lost"

_MOST_WIDTHS = 3  # how many widths of the widest vessel a branch may run beside its parent
_ONE_PLACE = 2  # pixels of rows or columns: the found pixels beside the beginning of a lost stretch


class Break(NamedTuple):
    """A missed connection.

    kind: GAP or LOST.
    row, column: its place on the truth's centre line: the middle of a gap, where what is lost begins, or the
        widest pixel of a lost tree.
    calibre: twice the distance from there to the background, in pixels, as `vessel_width` has it.
    gap: length of centre line, in pixels, that is missed until something is found again; NaN where all is lost.
    length_lost: length of the truth's centre line behind it, in pixels: all that is connected to the main piece
        through this place.
    """

    kind: str
    row: int
    column: int
    calibre: float
    gap: float
    length_lost: float


class BrokenTree(NamedTuple):
    """`connectivity`, 0 to 1 and NaN without a truth, and the breaks, the greatest loss first."""

    connectivity: float
    breaks: list[Break]


def broken_tree(prediction: np.ndarray, truth: np.ndarray, lines: CentreLines, tolerance: int) -> BrokenTree:
    """How a prediction breaks the truth's tree.

    The connectivity is the share of the length of the truth's centre lines that the main piece of each of its
    trees answers.

    Args:
        prediction, truth: bool arrays of one shape (height, width).
        lines: the centre lines of `truth`.
        tolerance: how far from the centre line a prediction still follows it, in pixels. Stretches that are not
            twice as long are no branches: outlines have bumps, and skeletons have spurs there.
    """
    if not len(lines.points):
        return BrokenTree(np.nan, [])
    found = answered(prediction, truth, lines, tolerance)
    main = np.full(lines.tree.max() + 1, MISSED)
    main[found.trees[::-1]] = np.arange(len(found.trees))[::-1]  # the first of a tree has the last word
    connected = (found.piece != MISSED) & (found.piece == main[lines.tree])
    breaks: list[Break] = []
    if not connected.all():
        walks = _Contracted.of(lines, found)
        for tree in np.unique(lines.tree[~connected]):
            breaks += _lost_tree(lines, tree, tolerance) if main[tree] == MISSED else ()
            breaks += () if main[tree] == MISSED else _Walk(walks, int(main[tree]), tolerance).breaks()
    share = lines.length[connected].sum() / lines.length.sum()
    return BrokenTree(float(share), sorted(breaks, key=lambda each: -each.length_lost))


def _lost_tree(lines: CentreLines, tree: int, tolerance: int) -> Iterator[Break]:
    """A tree of which nothing is found, if it is long enough for one."""
    members = np.flatnonzero(lines.tree == tree)
    length = float(lines.length[members].sum())
    if length > 2 * tolerance:
        yield _break(LOST, lines, members[lines.radius[members].argmax()], np.nan, length)


def _break(kind: str, lines: CentreLines, place: int, gap: float, length_lost: float) -> Break:
    row, column = map(int, lines.points[place])
    return Break(kind, row, column, 2 * float(lines.radius[place]), gap, length_lost)


@dataclass(frozen=True)
class _Contracted:
    """The graph of the centre lines in which each piece is one node, and each missed pixel another.

    node: int64, of each pixel; a piece's node has the piece's number.
    pixel: int64, of each node that is a missed pixel, that; else MISSED.
    graph: steps between nodes.
    length: float64, of each node.
    """

    lines: CentreLines
    node: np.ndarray
    pixel: np.ndarray
    graph: csr_array
    length: np.ndarray

    @classmethod
    def of(cls, lines: CentreLines, found: Answered) -> "_Contracted":
        pieces, missed = len(found.trees), np.flatnonzero(found.piece == MISSED)
        node, pixel = found.piece.copy(), np.full(pieces + len(missed), MISSED)
        node[missed] = np.arange(pieces, pieces + len(missed))
        pixel[pieces:] = missed
        first, second = (node[ends] for ends in lines.graph.nonzero())
        between = first != second
        steps = np.ones(int(between.sum())), (first[between], second[between])
        graph = csr_array(steps, shape=(len(pixel), len(pixel)))
        return cls(lines, node, pixel, graph, np.bincount(node, lines.length, len(pixel)))


class _Walk:
    """A walk along one tree of the truth, from its main piece to its ends."""

    def __init__(self, contracted: _Contracted, main: int, tolerance: int) -> None:
        self._of, self._lines, self._tolerance = contracted, contracted.lines, tolerance
        order, self._before = breadth_first_order(contracted.graph, main)
        self._order = order.tolist()
        n = len(contracted.pixel)
        self._behind = contracted.length.copy()  # length of a node and of all behind it
        self._height = np.zeros(n)  # length of the longest way on from a node
        self._end = contracted.pixel.copy()  # the pixel where that way ends
        self._side = np.zeros(n)  # how far the longest side branch behind a node stands out
        self._alive = contracted.pixel == MISSED  # whether a piece lies behind
        for node in reversed(self._order[1:]):
            self._tell(node, int(self._before[node]))

    def breaks(self) -> Iterator[Break]:
        """The breaks of this tree."""
        for node in self._order[1:]:
            if self._of.pixel[node] == MISSED:
                yield self._gap(node)
            elif not self._alive[node] and self._alive[self._before[node]] and self._is_branch(node):
                place, length = int(self._of.pixel[node]), float(self._behind[node])
                yield _break(LOST, self._lines, place, np.nan, length)

    def _tell(self, node: int, parent: int) -> None:
        """Add to the node before what is known of this one, of which all behind is known."""
        self._behind[parent] += self._behind[node]
        self._alive[parent] |= self._alive[node]
        way, known = self._height[node] + self._of.length[node], self._height[parent]
        pixel = self._of.pixel[parent]
        stands_out = min(way, known) - (self._lines.radius[pixel] if pixel != MISSED else np.inf)
        self._side[parent] = max(self._side[parent], self._side[node], stands_out)
        if way > known:
            self._height[parent], self._end[parent] = way, self._end[node]

    def _gap(self, node: int) -> Break:
        """The gap before a piece."""
        missed, before = [], int(self._before[node])
        while (pixel := self._of.pixel[before]) != MISSED:
            missed.append(int(pixel))
            before = int(self._before[before])
        gap = float(self._lines.length[missed].sum())
        place = missed[len(missed) // 2] if missed else self._contact(node, before)
        return _break(GAP, self._lines, place, gap, float(self._behind[node]))

    def _contact(self, piece: int, other: int) -> int:
        """A pixel of a piece next to one of another piece."""
        first, second = self._lines.graph.nonzero()
        touching = (self._of.node[first] == piece) & (self._of.node[second] == other)
        return int(first[touching.argmax()])

    def _is_branch(self, node: int) -> bool:
        """Whether what is lost from a missed pixel on is a whole branch or more."""
        pixel = int(self._of.pixel[node])
        if self._closes_a_loop(pixel) and self._lines.degree[self._end[node]] > 1:
            return False
        if max(self._side[node], self._height[node] + self._of.length[node]) <= 2 * self._tolerance:
            return False
        if self._side[node] > 2 * self._tolerance:
            return True
        alive = [each for each in self._lines.neighbours(pixel) if self._alive[self._of.node[each]]]
        return self._is_of_the_parent(pixel, int(alive[0]))

    def _closes_a_loop(self, pixel: int) -> bool:
        """Whether the missed stretch that begins here ends at a found one, too."""
        seen, ahead, touched = {pixel}, [pixel], []
        while ahead:
            for each in map(int, self._lines.neighbours(ahead.pop())):
                if self._alive[self._of.node[each]]:
                    touched.append(self._lines.points[each])
                elif each not in seen:
                    seen.add(each)
                    ahead.append(each)
        return bool(np.ptp(touched, axis=0).max() > _ONE_PLACE)

    def _is_of_the_parent(self, pixel: int, found: int) -> bool:
        """Whether what is found of a missed pixel's branch stands out from the vessel that it leaves by no more
        than a spur."""
        lines, before, here = self._lines, pixel, found
        spur = 2 * self._tolerance
        for steps in range(_MOST_WIDTHS * int(lines.radius.max() + spur)):
            enough = lines.radius[here] + spur
            others = [int(each) for each in lines.neighbours(here) if each != before]
            arms = [self._ahead(each, here, steps + enough + 1) for each in others]
            going_on = [arm for arm in arms if max(arm.values()) > enough]
            if len(going_on) > 1:
                parent = np.array([here, *(each for arm in arms for each in arm)])
                away = np.hypot(*(lines.points[found] - lines.points[parent]).T) - lines.radius[parent]
                return bool(away.min() <= spur)
            if not going_on:
                return False
            before, here = here, next(iter(going_on[0]))
        return False

    def _ahead(self, pixel: int, before: int, most: float) -> dict[int, int]:
        """The pixels at most so many steps ahead of the one before, this one first, and after how many steps."""
        steps = {pixel: 1}
        ahead = deque(steps)
        while ahead:
            here = ahead.popleft()
            for each in map(int, self._lines.neighbours(here)):
                if each not in steps and each != before and steps[here] < most:
                    steps[each] = steps[here] + 1
                    ahead.append(each)
        return steps
