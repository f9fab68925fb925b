"""Grounded captions: predicted masks and phrases beside those of the truth, image by image.

`official_...` is what the official script of Sa2VA computes, quirks included; `plain_...` is the definition. Both
take `ious`, float64 (truths, predictions), NaN where both masks are empty, as `mask_ious` gives them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from pycocotools import mask as coco
from scipy.optimize import linear_sum_assignment

from refvessel.rle import RLE, area

LEAST_IOU = 0.5  # from which on a pair of masks counts
LEAST_SIMILARITY = 0.5  # and a pair of texts
RECALL_LEVELS = np.linspace(0, 1, 101)  # COCO's, on which precision is averaged


@dataclass(frozen=True)
class Matches:
    """Pairs of a truth and a prediction, by their numbers; `error` says why the official script lost them all."""

    pairs: list[tuple[int, int]] = field(default_factory=list)
    error: str | None = None


def mask_ious(truths: Sequence[RLE], predictions: Sequence[RLE]) -> np.ndarray:
    """The IoU of each pair of masks of one size, float64 (truths, predictions); NaN where both are empty."""
    if not truths or not predictions:
        return np.zeros((len(truths), len(predictions)))
    ious = np.asarray(coco.iou(list(truths), list(predictions), [0] * len(predictions)), dtype=float)
    empty_truths, empty_predictions = (
        np.array([not area(mask) for mask in masks]) for masks in (truths, predictions)
    )
    ious[np.ix_(empty_truths, empty_predictions)] = np.nan
    return ious


def official_miou(ious: np.ndarray) -> float:
    """The mean IoU of an image's pairs, taken greedily by IoU.

    What is in no pair costs nothing. Without a pair, and where an empty truth meets an empty prediction, it is 0.
    """
    left = ious.T.copy()  # as the script has them: of equal pairs, that of the first prediction is taken
    found = []
    while left.size and left.max() > 0:  # false where any is NaN
        prediction, truth = np.unravel_index(left.argmax(), left.shape)
        found.append(left[prediction, truth])
        left = np.delete(np.delete(left, prediction, axis=0), truth, axis=1)
    return float(np.mean(found)) if found else 0.0


def plain_miou(ious: np.ndarray) -> float | None:
    """The mean over an image's truths of the IoU with the prediction that the best pairing gives each, else 0.

    Empty against empty is 1. None for an image without truth.
    """
    if not len(ious):
        return None
    agreeing = np.nan_to_num(ious, nan=1.0)
    return float(agreeing[linear_sum_assignment(agreeing, maximize=True)].sum() / len(ious))


def official_matches(ious: np.ndarray, similarities: np.ndarray) -> Matches:
    """An image's pairs for the recall: by IoU, until the best pair that is left fails the IoU or the text.

    Args:
        ious: as `mask_ious` gives them. A NaN comes first, and passes.
        similarities: float64 (labels, phrases), which may be fewer than masks: a best pair beyond them loses all
            pairs of its image.
    """
    left = ious.copy()
    pairs: list[tuple[int, int]] = []
    while left.size:
        truth, prediction = map(int, np.unravel_index(left.argmax(), left.shape))
        if left[truth, prediction] < LEAST_IOU:
            break
        try:
            alike = similarities[truth, prediction] >= LEAST_SIMILARITY
        except IndexError as error:
            return Matches(error=f"IndexError: {error}")
        if not alike:
            break
        pairs.append((truth, prediction))
        left[truth, :] = left[:, prediction] = 0
    return Matches(pairs)


def plain_matches(ious: np.ndarray, similarities: np.ndarray) -> Matches:
    """The same without an end: of the pairs that pass, greedily by IoU. Empty against empty is an IoU of 1."""
    shape = tuple(map(min, ious.shape, similarities.shape))
    agreeing = np.nan_to_num(ious[: shape[0], : shape[1]], nan=1.0)
    passing = (agreeing >= LEAST_IOU) & (similarities[: shape[0], : shape[1]] >= LEAST_SIMILARITY)
    left = np.where(passing, agreeing, 0.0)
    pairs: list[tuple[int, int]] = []
    while left.size and left.max() > 0:
        truth, prediction = map(int, np.unravel_index(left.argmax(), left.shape))
        pairs.append((truth, prediction))
        left[truth, :] = left[:, prediction] = 0
    return Matches(pairs)


def plain_average_precision(
    images: Sequence[np.ndarray], least_ious: Sequence[float], more_truths: int = 0
) -> float | None:
    """Average precision of predictions that all have one confidence, and so come all at once.

    Per threshold it is the precision times the share of RECALL_LEVELS that the recall reaches; a truth is found
    where the largest pairing of pairs of at least that IoU has it. Empty against empty is an IoU of 1.

    Args:
        images: the IoUs of each image, as `mask_ious` gives them.
        least_ious: thresholds that are averaged.
        more_truths: of images without a prediction.

    Returns:
        None without any truth.
    """
    truths = sum(len(ious) for ious in images) + more_truths
    predictions = sum(ious.shape[1] for ious in images)
    if not truths:
        return None
    if not predictions:
        return 0.0
    precisions = []
    for least in least_ious:
        found = sum(_most_pairs(np.nan_to_num(ious, nan=1.0) >= least) for ious in images)
        precisions.append(found / predictions * (found / truths >= RECALL_LEVELS).mean() if found else 0.0)
    return float(np.mean(precisions))


def _most_pairs(passing: np.ndarray) -> int:
    """How many pairs there can be at once."""
    return int(passing[linear_sum_assignment(passing, maximize=True)].sum())
