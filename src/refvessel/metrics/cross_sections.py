"""Cross-sections of vessels, from wall to wall across their centre lines."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d, map_coordinates
from scipy.sparse import csr_array, diags_array
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial import cKDTree

from refvessel.metrics.centre_lines import CentreLines
from refvessel.metrics.smooth_walls import smooth_walls

_STEP = 0.5  # pixels between samples of a cross-section
_LEAST_STEP = 0.5  # pixels between cross-sections
_SMOOTHING = 24  # times that each pixel of a centre line moves half way to the middle of its neighbours
_ALONG = 1.5  # pixels, standard deviation of the smoothing of diameters along a vessel
_BETWEEN = 8  # pixels: where that smoothing ends
_FEWEST = 12  # cross-sections of a vessel
_WIDEST = 1.7  # times as wide as twice the distance to the background: a branch opens there


@dataclass(frozen=True)
class CrossSections:
    """Cross-sections of vessels between their branch points and ends, ordered along each.

    centre: float64 (n, 2), row and column in pixels, on a smoothed centre line.
    normal: float64 (n, 2), a unit vector across it.
    step: float64 (n,), pixels from one to the next.
    radius: float64 (n,), distance in pixels to the background.
    vessel: int64 (n,), ascending: which vessel each is of.
    measured: bool (n,), which are far enough from branch points and ends; walls are followed on all, since where a
        curve ends least is known of it.
    """

    centre: np.ndarray
    normal: np.ndarray
    step: np.ndarray
    radius: np.ndarray
    vessel: np.ndarray
    measured: np.ndarray

    @classmethod
    def of(cls, lines: CentreLines) -> "CrossSections":
        """Those at the pixels of the centre lines.

        A branch opens about as far from a branch point as the vessel is wide; at an end the centre line turns to a
        corner of it. There nothing is measured, and walls are followed half as far into it.
        """
        measured, followed = _undisturbed(lines)
        order, vessel = _ordered(lines, followed, measured)
        centre = _smoothed(lines)
        ends = np.flatnonzero(np.diff(vessel)) + 1
        each_vessel = np.split(centre[order], ends) if len(order) else []
        tangent = np.concatenate([np.zeros((0, 2)), *(np.gradient(each, axis=0) for each in each_vessel)])
        step = np.maximum(np.linalg.norm(tangent, axis=1), _LEAST_STEP)
        normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1) / step[:, None]
        return cls(centre[order], normal, step, lines.radius[order], vessel, measured[order])

    def diameters(self, field: np.ndarray, reach: float) -> np.ndarray:
        """How wide what is positive in a field, or true in a mask, is along each, in pixels; NaN where it is not
        found or not to be measured.

        Measured is the run of foreground that is nearest to the centre and at most `reach` away from it. In a mask
        its walls are as smooth as its pixels allow; between the pixels of logits lies a straight line, and the
        diameters are smoothed along the vessel.

        Args:
            field: bool or floating, of shape (height, width).
            reach: pixels.
        """
        walls = self._walls(field, reach)
        if field.dtype != bool or np.isnan(walls).all():
            return np.where(self.measured, self._along_vessels(walls.sum(axis=0)), np.nan)
        smooth = smooth_walls(
            field, walls, centre=self.centre, normal=self.normal, step=self.step, vessel=self.vessel
        )
        return np.where(self.measured & ~np.isnan(walls[0]), smooth.sum(axis=0), np.nan)

    def _walls(self, field: np.ndarray, reach: float) -> np.ndarray:
        """How far the ends of each run are from the centre, float64 (2, n): against the normal and along it."""
        walls = np.full((2, len(self.radius)), np.nan)
        sizes = np.ceil(self.radius / 2)
        for size in np.unique(sizes):  # thin vessels need shorter cross-sections
            some = np.flatnonzero(sizes == size)
            half = np.ceil((_WIDEST * 2 * size + reach + 2) / _STEP)
            along = (np.arange(-half, half + 1) * _STEP).astype(np.float32)
            centre, normal = (
                each[some].T[..., None].astype(np.float32) for each in (self.centre, self.normal)
            )
            walls[:, some] = _runs(_looked_up(field, centre + along * normal), along, reach)
        walls[:, walls.sum(axis=0) > 2 * _WIDEST * self.radius + 2] = np.nan
        return walls

    def _along_vessels(self, width: np.ndarray) -> np.ndarray:
        apart = (
            np.arange(len(width)) + _BETWEEN * self.vessel
        )  # so that no vessel's smoothing reaches the next
        known = ~np.isnan(width)
        sums, weights = np.zeros((2, int(apart.max(initial=0)) + 1))
        sums[apart[known]], weights[apart[known]] = width[known], 1
        smooth, weight = (gaussian_filter1d(each, _ALONG, mode="constant")[apart] for each in (sums, weights))
        return np.divide(smooth, weight, out=np.full(len(width), np.nan), where=known)

    def split(self, values: np.ndarray) -> list[np.ndarray]:
        """What there is of each cross-section, vessel by vessel."""
        return np.split(values, np.flatnonzero(np.diff(self.vessel)) + 1)


def _undisturbed(lines: CentreLines) -> tuple[np.ndarray, np.ndarray]:
    """Bool (n,), twice: at which pixels diameters are measured, and at which walls are followed."""
    measured, followed = lines.degree == 2, lines.degree == 2
    for disturbing, widths in ((lines.degree < 2, 1), (lines.degree > 2, 2)):
        if disturbing.any():
            away, nearest = cKDTree(lines.points[disturbing]).query(lines.points)
            enough = widths * (np.maximum(lines.radius, lines.radius[disturbing][nearest]) + 1)
            measured &= away > enough
            followed &= away > enough / 2
    return measured, followed


def _ordered(lines: CentreLines, followed: np.ndarray, measured: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The followed pixels vessel by vessel, in the order along each, and the number of the vessel of each.

    Left out are vessels that are not measured often enough.
    """
    pixels = np.flatnonzero(followed)
    graph = lines.graph[pixels][:, pixels]
    count, vessel = connected_components(graph, directed=False)
    degree = np.diff(graph.indptr)
    starts = np.full(count, -1)  # one end of each; a ring has none
    starts[vessel[degree < 2]] = np.flatnonzero(degree < 2)
    long = (starts >= 0) & (np.bincount(vessel, measured[pixels], count) >= _FEWEST)
    if not long.any():
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    way = dijkstra(graph, directed=False, indices=starts[long], min_only=True)
    order = np.lexsort((way, vessel))
    order = order[long[vessel[order]]]
    return pixels[order], vessel[order].astype(np.int64)


def _smoothed(lines: CentreLines) -> np.ndarray:
    """The centre lines' pixels, float64 (n, 2), without the steps of the raster; ends and branch points stay."""
    inner = lines.degree == 2
    neighbours = csr_array(
        (np.ones(lines.graph.nnz), lines.graph.indices, lines.graph.indptr), lines.graph.shape
    )
    move = diags_array(np.where(inner, 0.5, 1.0)) + diags_array(np.where(inner, 0.25, 0.0)) @ neighbours
    places = lines.points.astype(np.float64)
    for _ in range(_SMOOTHING):
        places = move @ places
    return places


def _looked_up(field: np.ndarray, places: np.ndarray) -> np.ndarray:
    """A field at places, rows and columns (2, ...), negative in the background; a mask's pixels are 1 and -1."""
    if field.dtype != bool:
        return map_coordinates(field, places, order=1, mode="constant", cval=-1.0)
    padded = np.pad(np.where(field, np.int8(1), np.int8(-1)), 1, constant_values=-1)
    within = [(each + 1.5).clip(0, side - 1) for each, side in zip(places, padded.shape, strict=True)]
    rows, columns = (each.astype(np.int32) for each in within)
    return padded.ravel()[rows * padded.shape[1] + columns]


def _runs(values: np.ndarray, along: np.ndarray, reach: float) -> np.ndarray:
    """How far the positive run of each row that is nearest to 0 goes on to both sides of 0, (2, rows).

    It ends where a straight line between two samples is 0; NaN where it is not within `reach` or does not end.
    """
    inside, rows = values > 0, np.arange(len(values))
    numbers = np.arange(len(along), dtype=np.int16)  # small, for the sake of speed
    from_centre = np.abs(numbers - numbers[-1] // 2)
    start = np.where(inside, from_centre, numbers[-1]).argmin(axis=1).astype(np.int16)
    earlier = numbers < start[:, None]
    before = np.where(earlier & ~inside, numbers, -1).max(axis=1)
    after = np.where(earlier | inside, len(along), numbers).min(axis=1)
    known = inside[rows, start] & (np.abs(along[start]) <= reach) & (before >= 0) & (after < len(along))
    rows, left, right = rows[known], before[known], after[known]
    walls = np.full((2, len(values)), np.nan)
    walls[0, known] = _STEP * (_share(values, rows, left, 1) - 1) - along[left]
    walls[1, known] = _STEP * (_share(values, rows, right, -1) - 1) + along[right]
    return walls


def _share(values: np.ndarray, rows: np.ndarray, outer: np.ndarray, inwards: int) -> np.ndarray:
    """How far beyond the last sample of a run it goes on, as a share of the way to the next one, `outer`."""
    first, beyond = values[rows, outer + inwards].astype(np.float64), values[rows, outer].astype(np.float64)
    return first / (first - beyond)
