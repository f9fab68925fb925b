"""The centre lines of a mask as a graph: what is next to what, how long, how wide."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

# Half of the eight neighbours (row, column): each pair of pixels is met once.
_STRAIGHT, _DIAGONAL = ((0, 1), (1, 0)), ((1, 1), (1, -1))

LENGTHS = ("truth_length", "predicted_length")  # of all centre lines of a mask, pixels along their steps


@dataclass(frozen=True)
class CentreLines:
    """A skeleton of n pixels as a graph.

    points: int64 (n, 2), row and column of each pixel, in row-major order.
    radius: float64 (n,), distance in pixels to the nearest background, which lies beyond the image, too.
    graph: (n, n), symmetric, the length of the step to each neighbour: 1 or the square root of 2. A diagonal
        step is left out where two straight ones lead there, so that a corner is no branch point.
    """

    points: np.ndarray
    radius: np.ndarray
    graph: csr_array

    @classmethod
    def of(cls, skeleton: np.ndarray, widths: np.ndarray) -> "CentreLines":
        """The graph of a skeleton, bool (height, width), with the `local_widths` of its pixels."""
        rows, columns = np.divmod(np.flatnonzero(skeleton), skeleton.shape[1])
        points = np.stack([rows, columns], axis=1)
        return cls(points, widths / 2, _steps(skeleton, points))

    @cached_property
    def degree(self) -> np.ndarray:
        """The number of each pixel's neighbours, int: 1 at an end, 3 or more at a branch point."""
        return np.diff(self.graph.indptr)

    @cached_property
    def length(self) -> np.ndarray:
        """Float64 (n,): each pixel's share of the length, half of its steps; a lone pixel is 1 long."""
        halves = self.graph.sum(axis=1) / 2
        return np.where(self.degree > 0, halves, 1.0)

    @cached_property
    def tree(self) -> np.ndarray:
        """Int (n,): which of the connected trees a pixel belongs to, numbered from 0."""
        return connected_components(self.graph, directed=False)[1]

    def neighbours(self, point: int) -> np.ndarray:
        """The pixels next to one, as indices."""
        return self.graph.indices[self.graph.indptr[point] : self.graph.indptr[point + 1]]


def _steps(skeleton: np.ndarray, points: np.ndarray) -> csr_array:
    """The graph of CentreLines."""
    numbers = np.full((skeleton.shape[0] + 2, skeleton.shape[1] + 2), -1)
    rows, columns = points.T + 1
    numbers[rows, columns] = np.arange(len(points))
    firsts, seconds, lengths = [], [], []
    for down, right in (*_STRAIGHT, *_DIAGONAL):
        beside = numbers[rows + down, columns + right]
        joined = beside >= 0
        if down and right:
            round_the_corner = (numbers[rows + down, columns] >= 0) | (numbers[rows, columns + right] >= 0)
            joined &= ~round_the_corner
        firsts.append(np.flatnonzero(joined))
        seconds.append(beside[joined])
        lengths.append(np.full(int(joined.sum()), np.hypot(down, right)))
    first, second, length = map(np.concatenate, (firsts, seconds, lengths))
    ends = np.concatenate([first, second]), np.concatenate([second, first])
    return csr_array((np.concatenate([length, length]), ends), shape=(len(points), len(points)))
