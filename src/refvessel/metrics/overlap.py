"""Pixel counts of a prediction against the truth, and the overlap scores that follow from them.

TP, FP, FN and TN are the pixels that are foreground in both masks, in the prediction only, in the truth only
and in neither.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from pycocotools import mask as coco

from refvessel.masks import RLE
from refvessel.metrics.policy import EmptyPolicy, apply_policy

COUNTS = ("tp", "fp", "fn", "tn")

OVERLAP_SCORES = ("dice", "iou", "precision", "recall", "specificity")


def pixel_counts(predictions: Sequence[RLE], truths: Sequence[RLE]) -> pd.DataFrame:
    """tp, fp, fn, tn (int64) of each pair of masks, one row a pair, without decoding them.

    The masks of a pair have one size: the caller has checked it.
    """
    overlaps = [coco.merge(list(pair), intersect=True) for pair in zip(predictions, truths, strict=True)]
    tp = _areas(overlaps)
    fp = _areas(predictions) - tp
    fn = _areas(truths) - tp
    pixels = np.array([height * width for height, width in (truth["size"] for truth in truths)], np.int64)
    return pd.DataFrame({"tp": tp, "fp": fp, "fn": fn, "tn": pixels - tp - fp - fn})


def overlap_scores(counts: pd.DataFrame, policy: EmptyPolicy) -> pd.DataFrame:
    """dice, iou, precision, recall and specificity (float64, 0 to 1) of each row of counts.

    NaN where the policy leaves a score undefined, and for the specificity of a truth that covers the whole
    image: it has no pixel to be specific about.
    """
    tp, fp, fn, tn = (counts[name].to_numpy(np.float64) for name in COUNTS)
    formulas = {  # score -> numerator, denominator
        "dice": (2 * tp, 2 * tp + fp + fn),
        "iou": (tp, tp + fp + fn),
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
        "specificity": (tn, tn + fp),
    }
    scores = {}
    for score in OVERLAP_SCORES:
        numerator, denominator = formulas[score]
        values = np.divide(numerator, denominator, out=np.full_like(tp, np.nan), where=denominator > 0)
        scores[score] = apply_policy(values, policy[score], truth_pixels=tp + fn, predicted_pixels=tp + fp)
    return pd.DataFrame(scores, index=counts.index)


def _areas(rles: Sequence[RLE]) -> np.ndarray:
    return np.array([coco.area(rle) for rle in rles], np.int64)
