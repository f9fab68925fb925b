"""The scores of referring segmentation, as Sa2VA's official evaluator defines them."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from refvessel.metrics.overlap import COUNTS

SMOOTHING = 1e-5  # added to the union by the official evaluator

PR_THRESHOLDS = (50, 60, 70, 80, 90)  # IoU in percent


def giou_terms(intersections: ArrayLike, unions: ArrayLike) -> np.ndarray:
    """What each expression adds to the gIoU, float64: I / (U + 1e-5), 1 where the union U is empty."""
    above, below = np.asarray(intersections, np.float64), np.asarray(unions, np.float64)
    return np.where(below > 0, above / (below + SMOOTHING), 1.0)


def referring_terms(cases: pd.DataFrame) -> pd.DataFrame:
    """What each expression adds to the scores that are means: one column per score, one row per case, float64.

    giou      I / (U + 1e-5); 1 where the union U is empty
    pr_at_k   1 where the IoU is strictly above k percent, else 0
    n_acc     only where the truth is empty: 1 where the answer is empty too, else 0
    t_acc     only where the truth is not empty: 1 where the answer is not empty either, else 0

    NaN where an expression says nothing about a score. `cases` has tp, fp, fn, tn, truth_pixels, predicted_pixels
    and iou.
    """
    tp, fp, fn, _ = (cases[name].to_numpy(np.float64) for name in COUNTS)
    iou, truth, predicted = (
        cases[name].to_numpy(np.float64) for name in ("iou", "truth_pixels", "predicted_pixels")
    )
    terms = {"giou": giou_terms(tp, tp + fp + fn)}
    for percent in PR_THRESHOLDS:
        terms[f"pr_at_{percent}"] = np.where(np.isnan(iou), np.nan, iou > percent / 100)
    terms["n_acc"] = np.where(truth > 0, np.nan, predicted == 0)
    terms["t_acc"] = np.where(truth > 0, predicted > 0, np.nan)
    return pd.DataFrame(terms, index=cases.index)
