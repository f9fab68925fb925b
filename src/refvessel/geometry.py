"""Surfaces, distances and widths of masks, in pixels."""

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


def vessel_width(mask: np.ndarray, centre_lines: np.ndarray) -> float:
    """Twice the mean of `background_distances`, in pixels; NaN of an empty mask."""
    distances = background_distances(mask, centre_lines)
    return 2 * float(distances.mean()) if distances.size else np.nan


def background_distances(mask: np.ndarray, centre_lines: np.ndarray) -> np.ndarray:
    """The distance in pixels from each pixel of a mask's skeleton to the nearest background, in row-major order.

    What lies beyond the image counts as background. On a line one pixel wide it is 1.
    """
    if not centre_lines.any():
        return np.zeros(0)
    background = surface(~np.pad(mask, 1))
    return nearest_distances(positions(np.pad(centre_lines, 1)), positions(background))
