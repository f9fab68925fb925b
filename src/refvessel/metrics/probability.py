"""Scores of probabilities: how well a model orders pixels, and whether it means what it says.

They need stored logits; of binary masks every threshold would give the same score.
"""

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import rankdata

THRESHOLDS = np.linspace(0, 1, 101)
_BINS = 15


def probabilities(logits: np.ndarray) -> np.ndarray:
    """The logistic function of logits of any shape, float64 from 0 to 1."""
    return expit(np.asarray(logits, np.float64))


def probability_scores(
    predicted: np.ndarray, truth: np.ndarray, ignored: np.ndarray | None = None
) -> dict[str, float]:
    """AUC, average precision and expected calibration error over the pixels of one image.

    auc                 area under the receiver operating characteristic; ties count half
    average_precision   sum over thresholds of precision times the gain in recall, without interpolation
    ece                 mean over 15 equal bins of |share of foreground - mean probability|, weighted by pixels

    `predicted` has probabilities; `truth` and `ignored`, of the same shape, are bool. All three are NaN where the
    truth is empty, the AUC also where it leaves no background.
    """
    kept = slice(None) if ignored is None else ~ignored
    scores, labels = (array[kept].ravel() for array in (predicted.astype(np.float64), truth))
    positives = int(labels.sum())
    if not positives:
        return dict.fromkeys(("auc", "average_precision", "ece"), np.nan)
    return {
        "auc": _auc(scores, labels, positives),
        "average_precision": _average_precision(scores, labels, positives),
        "ece": _calibration_error(scores, labels),
    }


def threshold_counts(
    predicted: np.ndarray, truth: np.ndarray, ignored: np.ndarray | None = None
) -> pd.DataFrame:
    """tp, fp, fn, tn (int64) of the masks `predicted` > threshold, a row a threshold of THRESHOLDS.

    Strictly above, as the model's own masks are sigmoid > 0.5. Arguments as of `probability_scores`. Sums of such
    tables over images are the pooled curve.
    """
    kept = slice(None) if ignored is None else ~ignored
    scores, labels = (array[kept].ravel() for array in (predicted.astype(np.float64), truth))
    # The number of thresholds that a pixel is strictly above is the number of masks it is in.
    masks_in = np.searchsorted(THRESHOLDS, scores, side="left")
    foreground, background = (
        np.bincount(masks_in[chosen], minlength=len(THRESHOLDS) + 1) for chosen in (labels, ~labels)
    )
    tp, fp = (counts[::-1].cumsum()[::-1][1:] for counts in (foreground, background))
    return pd.DataFrame(
        {
            "threshold": THRESHOLDS,
            "tp": tp,
            "fp": fp,
            "fn": foreground.sum() - tp,
            "tn": background.sum() - fp,
        }
    )


def _auc(scores: np.ndarray, labels: np.ndarray, positives: int) -> float:
    """By the Mann-Whitney statistic."""
    negatives = labels.size - positives
    if not negatives:
        return np.nan
    ranks = rankdata(scores)[labels].sum()
    return float((ranks - positives * (positives + 1) / 2) / (positives * negatives))


def _average_precision(scores: np.ndarray, labels: np.ndarray, positives: int) -> float:
    order = np.argsort(-scores, kind="stable")
    last_of_ties = np.flatnonzero(np.diff(scores[order], append=np.nan) != 0)
    true = labels[order].cumsum()[last_of_ties]
    precision = true / (last_of_ties + 1)
    return float((np.diff(true, prepend=0) / positives * precision).sum())


def _calibration_error(scores: np.ndarray, labels: np.ndarray) -> float:
    bins = np.clip(np.ceil(scores * _BINS).astype(int) - 1, 0, _BINS - 1)  # (low, high]; 0 in the first
    gaps = np.bincount(bins, weights=labels - scores, minlength=_BINS)
    return float(np.abs(gaps).sum() / scores.size)
