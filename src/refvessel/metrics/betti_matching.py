"""Which components and holes of two masks answer each other: the Betti matching error of binary masks.

Betti matching (Stucki et al., ICML 2023, "Topologically faithful image segmentation via induced matching of
persistence barcodes") matches a feature of one mask with one of the other where the inclusions of both masks
into their union take the two to the same feature of the union. In binary masks all features appear at once and
vanish at once, so that labels are all that is left of persistence:

- Components merge in the union. Of those of one mask that lie in one component of the union the elder rule
  keeps one, so each component of the union that has pixels of both masks matches one of either.
- Holes are split by the union. What is left of a mask's hole are the union's holes inside it; the hole is
  followed to the one of them that is filled last when pixels are filled row by row, the order in which the
  authors' code takes pixels of equal value. A hole of the union matches the two holes that are followed to it.
"""

import numpy as np

from refvessel.metrics.topology import Labels

BETTI_MATCHING_SCORES = ("betti0_matching_error", "betti1_matching_error")


def betti_matching_errors(prediction: Labels, truth: Labels, union: Labels) -> tuple[int, int]:
    """How many components, and how many holes, of either mask no feature of the other answers.

    Args:
        prediction, truth: of two masks of one shape.
        union: of the mask that has the pixels of either.
    """
    components = prediction.betti_numbers[0] + truth.betti_numbers[0]
    holes = prediction.betti_numbers[1] + truth.betti_numbers[1]
    return (
        components - 2 * _matched_components(prediction, truth, union),
        holes - 2 * _matched_holes(prediction, truth, union),
    )


def _matched_components(prediction: Labels, truth: Labels, union: Labels) -> int:
    """How many components of the union have pixels of both masks."""
    of_either = np.zeros((2, union.betti_numbers[0] + 1), bool)
    for found, labels in zip(of_either, (prediction, truth), strict=True):
        found[union.components[labels.components > 0]] = True
    return int(of_either.all(axis=0).sum())


def _matched_holes(prediction: Labels, truth: Labels, union: Labels) -> int:
    """How many holes of the union are where a hole of either mask is followed to."""
    if not union.betti_numbers[1]:
        return 0
    background = union.background.ravel()
    pixels = np.flatnonzero((background > 0) & (background != union.outside))
    filled_last = np.zeros(background.max() + 1, np.int64)
    filled_last[background[pixels]] = pixels  # in row-major order, so that the last one stays
    filled_last = np.sort(filled_last[filled_last > 0])  # one pixel of each hole
    by_prediction, by_truth = (_followed(labels, filled_last) for labels in (prediction, truth))
    return len(np.intersect1d(by_prediction, by_truth, assume_unique=True))


def _followed(labels: Labels, filled_last: np.ndarray) -> np.ndarray:
    """The last pixels of those of the union's holes to which a hole of one mask is followed."""
    holes = labels.background.ravel()[filled_last]
    followed = np.zeros(labels.background.max() + 1, np.int64)
    followed[holes] = filled_last
    followed[labels.outside] = 0
    return followed[followed > 0]
