"""What may be done to a mask without looking at anything else: dropping specks, filling pinholes."""

import numpy as np
from skimage.measure import label


def drop_small_components(mask: np.ndarray, least: int) -> np.ndarray:
    """Without the 8-connected components of fewer than `least` pixels; bool (height, width) to the same."""
    regions = label(mask, connectivity=2)
    small = np.bincount(regions.ravel()) < least
    return mask & ~small[regions]


def fill_small_holes(mask: np.ndarray, least: int) -> np.ndarray:
    """With the holes of fewer than `least` pixels filled; bool (height, width) to the same.

    A hole is a 4-connected region of background that does not touch the image's edge.
    """
    regions = label(np.pad(~mask, 1, constant_values=True), connectivity=1)  # a frame joins all at the edge
    small = np.bincount(regions.ravel()) < least
    small[[0, regions[0, 0]]] = False  # the foreground, and what is at the edge
    return mask | small[regions][1:-1, 1:-1]
