"""Surfaces, distances and widths of masks, in pixels."""

import math

import numpy as np
from scipy.spatial import cKDTree

# Fixed edges of groups of vessel widths, so that they mean the same in every table; the lower edge belongs to a
# group, the upper does not.
WIDTH_EDGES = (4, 6, 8, 12)


def nearest_distances(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Of each point the distance to the nearest of the others, float64; both of shape (n, 2), none empty."""
    # A k-d tree of the few pixels is faster than a distance transform of the whole image, and exact.
    distances, _ = cKDTree(others, compact_nodes=False, balanced_tree=False).query(points)
    return np.asarray(distances)


def positions(mask: np.ndarray) -> np.ndarray:
    """Row and column of each foreground pixel, float64 of shape (n, 2): `np.argwhere`, several times faster."""
    rows, columns = np.divmod(np.flatnonzero(mask), mask.shape[1])
    return np.stack([rows, columns], axis=1).astype(np.float64)


def surface(mask: np.ndarray) -> np.ndarray:
    """The surface of a bool mask of shape (height, width), as a mask of that shape."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


def near(points: np.ndarray, radius: int) -> np.ndarray:
    """The pixels whose Euclidean distance to a foreground pixel of a bool mask is at most `radius`.

    A disc is a stack of rows: the rows are widened from its top to its middle, and each is laid where it
    belongs.
    """
    height = len(points)
    reached, widened, half_width = np.zeros_like(points), points.copy(), 0
    for rows in range(radius, -1, -1):
        wider = math.isqrt(radius**2 - rows**2)
        for columns in range(half_width + 1, wider + 1):
            widened[:, columns:] |= points[:, :-columns]
            widened[:, :-columns] |= points[:, columns:]
        half_width = wider
        kept = max(height - rows, 0)
        reached[rows:] |= widened[:kept]
        reached[:kept] |= widened[rows:]
    return reached


def local_widths(mask: np.ndarray, centre_lines: np.ndarray) -> np.ndarray:
    """Twice the distance in pixels from each pixel of a mask's skeleton to the nearest background, float64.

    In row-major order of the skeleton's pixels; distances run between pixel centres. What lies beyond the image
    counts as background. A line one pixel wide has the width 2.
    """
    if not centre_lines.any():
        return np.zeros(0)
    background = surface(~np.pad(mask, 1))
    return 2 * nearest_distances(positions(np.pad(centre_lines, 1)), positions(background))


def vessel_width(mask: np.ndarray, centre_lines: np.ndarray) -> float:
    """The mean of a mask's local widths, pixels; NaN where it is empty."""
    return mean_width(local_widths(mask, centre_lines))


def mean_width(widths: np.ndarray) -> float:
    """The mean of local widths; NaN of none."""
    return float(widths.mean()) if widths.size else np.nan
