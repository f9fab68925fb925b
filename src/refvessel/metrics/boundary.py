"""J and F of a frame, as the benchmarks of video segmentation score how well regions and boundaries agree.

J is the IoU. F compares boundaries: precision is the share of the prediction's boundary pixels that have one
of the truth's within the tolerance, recall the other way round, and F is the harmonic mean of the two
(Perazzi et al., CVPR 2016, "A benchmark dataset and evaluation methodology for video object segmentation").
"""

import math

import numpy as np

from refvessel.geometry import near, surface

_TOLERANCE = 0.008  # of the image's diagonal


def region_similarity(prediction: np.ndarray, truth: np.ndarray) -> float:
    """J: intersection over union of two bool masks of one shape; 1 where both are empty."""
    union = np.count_nonzero(prediction | truth)
    return np.count_nonzero(prediction & truth) / union if union else 1.0


def boundary_accuracy(prediction: np.ndarray, truth: np.ndarray) -> float:
    """F of two bool masks of one shape (height, width), by the boundaries that the benchmarks draw.

    1 where neither has a boundary, 0 where one alone has none. A mask that covers the image has no boundary:
    against an empty one F is 1, though J is 0. `inner_boundary_accuracy` has no such gap.
    """
    return _agreement(forward_boundary(prediction), forward_boundary(truth))


def inner_boundary_accuracy(prediction: np.ndarray, truth: np.ndarray) -> float:
    """F by the plain definition of a boundary: the mask's own pixels at its edge, or at the image's."""
    return _agreement(surface(prediction), surface(truth))


def forward_boundary(mask: np.ndarray) -> np.ndarray:
    """The pixels of a bool mask that differ from their right, lower or lower right neighbour, bool of its
    shape.

    So a boundary lies partly outside the mask. In the last row only the right neighbour counts, in the last
    column only the lower one: the image's edge is no boundary.
    """
    boundary = np.zeros_like(mask)
    boundary[:, :-1] |= mask[:, :-1] != mask[:, 1:]
    boundary[:-1] |= mask[:-1] != mask[1:]
    boundary[:-1, :-1] |= mask[:-1, :-1] != mask[1:, 1:]
    return boundary


def tolerance(height: int, width: int) -> int:
    """How far apart two boundaries may lie and agree, in pixels, on an image of this size."""
    return math.ceil(_TOLERANCE * math.sqrt(height**2 + width**2))


def _agreement(predicted: np.ndarray, true: np.ndarray) -> float:
    """F of two boundaries."""
    n_predicted, n_true = np.count_nonzero(predicted), np.count_nonzero(true)
    if not (n_predicted and n_true):
        return float(n_predicted == n_true)
    radius = tolerance(*true.shape)
    precision = np.count_nonzero(predicted & near(true, radius)) / n_predicted
    recall = np.count_nonzero(true & near(predicted, radius)) / n_true
    both = precision + recall
    return 2 * precision * recall / both if both else 0.0
