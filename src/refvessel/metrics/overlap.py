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

OVERLAP_SCORES = ("dice", "iou", "precision", "recall", "specificity", "accuracy", "mcc")


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
    """OVERLAP_SCORES of each row of counts, float64, from 0 to 1, the MCC from -1.

    NaN where the policy leaves a score undefined, and for the specificity of a truth that covers the whole
    image: it has no pixel to be specific about.
    """
    numerators, denominators = overlap_ratios(counts)
    truth_pixels, predicted_pixels = denominators["recall"], denominators["precision"]
    values = {
        score: np.divide(
            above, denominators[score], out=np.full_like(above, np.nan), where=denominators[score] > 0
        )
        for score, above in numerators.items()
    }
    values["mcc"] = matthews_correlation(counts[list(COUNTS)].to_numpy(np.float64))
    scores = {
        score: apply_policy(
            values[score], policy[score], truth_pixels=truth_pixels, predicted_pixels=predicted_pixels
        )
        for score in OVERLAP_SCORES
    }
    return pd.DataFrame(scores, index=counts.index)


def matthews_correlation(counts: np.ndarray) -> np.ndarray:
    """Matthews' correlation coefficient, float64 from -1 to 1; the last axis of `counts` has COUNTS.

    (TP TN - FP FN) / sqrt((TP + FP) (TP + FN) (TN + FP) (TN + FN)). Where a mask covers everything or nothing,
    which makes it 0/0, it is 1 if every pixel is right and else 0 (Chicco and Jurman, BMC Genomics 2020).
    """
    tp, fp, fn, tn = np.moveaxis(counts, -1, 0)
    scale = np.sqrt((tp + fp) * (tp + fn)) * np.sqrt((tn + fp) * (tn + fn))
    degenerate = (fp + fn == 0).astype(np.float64)
    return np.divide(tp * tn - fp * fn, scale, out=degenerate, where=scale > 0)


def overlap_ratios(counts: pd.DataFrame) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Numerators and denominators, float64, of OVERLAP_SCORES but the MCC, which is no ratio of sums."""
    tp, fp, fn, tn = (counts[name].to_numpy(np.float64) for name in COUNTS)
    numerators = {
        "dice": 2 * tp,
        "iou": tp,
        "precision": tp,
        "recall": tp,
        "specificity": tn,
        "accuracy": tp + tn,
    }
    denominators = {
        "dice": 2 * tp + fp + fn,
        "iou": tp + fp + fn,
        "precision": tp + fp,
        "recall": tp + fn,
        "specificity": tn + fp,
        "accuracy": tp + fp + fn + tn,
    }
    return numerators, denominators


def _areas(rles: Sequence[RLE]) -> np.ndarray:
    return np.array([coco.area(rle) for rle in rles], np.int64)
