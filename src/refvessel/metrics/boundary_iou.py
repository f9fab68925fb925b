"""How well two masks agree near their boundaries: the boundary IoU."""

import numpy as np


def boundary_iou(prediction: np.ndarray, truth: np.ndarray, distance: int) -> float:
    """IoU of the pixels of each mask that lie within `distance` of its own boundary; NaN where both have none.

    Cheng et al., CVPR 2021 ("Boundary IoU: Improving object-centric image segmentation evaluation"). As in their
    code, a pixel of a mask lies within the distance where the square of 2 x distance + 1 pixels around it has
    background, which is also what lies beyond the image. A mask that is thinner than that is all boundary: its
    boundary IoU is its IoU.

    Args:
        prediction, truth: bool arrays of one shape (height, width).
        distance: between pixel centres, whole pixels, along rows or columns, whichever is more.
    """
    boundaries = [mask & ~_eroded(mask, distance) for mask in (prediction, truth)]
    union = np.count_nonzero(boundaries[0] | boundaries[1])
    return np.count_nonzero(boundaries[0] & boundaries[1]) / union if union else np.nan


def _eroded(mask: np.ndarray, distance: int) -> np.ndarray:
    """The pixels of a mask whose square of 2 x distance + 1 pixels lies in the mask altogether."""
    height, width = mask.shape
    padded = np.pad(mask, distance)
    rows = padded[:height].copy()
    for shift in range(1, 2 * distance + 1):
        rows &= padded[shift : shift + height]
    eroded = rows[:, :width].copy()
    for shift in range(1, 2 * distance + 1):
        eroded &= rows[:, shift : shift + width]
    return eroded
