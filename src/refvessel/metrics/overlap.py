"""Pixel counts of a prediction against the truth, and the overlap scores that follow from them.

TP, FP, FN and TN are the pixels that are foreground in both masks, in the prediction only, in the truth only
and in neither.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from pycocotools import mask as coco

from refvessel.metrics.policy import EmptyPolicy, apply_policy
from refvessel.rle import RLE

COUNTS = ("tp", "fp", "fn", "tn")

OVERLAP_SCORES = ("dice", "iou", "precision", "recall", "specificity")


def pixel_counts(
    predictions: Sequence[RLE], truths: Sequence[RLE], scored_pixels: Sequence[int]
) -> pd.DataFrame:
    """tp, fp, fn, tn (int64) of each pair of masks, one row a pair, without decoding them.

    `scored_pixels` has the number of pixels that are not ignored, an image; the masks have no foreground
    elsewhere. The masks of a pair have one size: the caller has checked it.
    """
    overlaps = [coco.merge(list(pair), intersect=True) for pair in zip(predictions, truths, strict=True)]
    tp = _areas(overlaps)
    fp = _areas(predictions) - tp
    fn = _areas(truths) - tp
    tn = np.asarray(scored_pixels, np.int64) - tp - fp - fn
    return pd.DataFrame({"tp": tp, "fp": fp, "fn": fn, "tn": tn})


def overlap_scores(counts: pd.DataFrame, policy: EmptyPolicy) -> pd.DataFrame:
    """dice, iou, precision, recall and specificity (float64, 0 to 1) of each row of counts.

    NaN where the policy leaves a score undefined, and for the specificity of a truth that covers the whole
    image: it has no pixel to be specific about.
    """
    numerators, denominators = overlap_ratios(counts)
    truth_pixels, predicted_pixels = denominators["recall"], denominators["precision"]
    scores = {}
    for score in OVERLAP_SCORES:
        above, below = numerators[score], denominators[score]
        values = np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)
        scores[score] = apply_policy(
            values, policy[score], truth_pixels=truth_pixels, predicted_pixels=predicted_pixels
        )
    return pd.DataFrame(scores, index=counts.index)


def overlap_ratios(counts: pd.DataFrame) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Numerators and denominators of the formulas of OVERLAP_SCORES, float64: of each score, one per case."""
    tp, fp, fn, tn = (counts[name].to_numpy(np.float64) for name in COUNTS)
    numerators = {"dice": 2 * tp, "iou": tp, "precision": tp, "recall": tp, "specificity": tn}
    denominators = {
        "dice": 2 * tp + fp + fn,
        "iou": tp + fp + fn,
        "precision": tp + fp,
        "recall": tp + fn,
        "specificity": tn + fp,
    }
    return numerators, denominators


def _areas(rles: Sequence[RLE]) -> np.ndarray:
    return np.array([coco.area(rle) for rle in rles], np.int64)
