"""Scores of probabilities: how well a model orders pixels, and whether it means what it says.

They need stored logits; of binary masks every threshold would give the same score.
"""

import numpy as np
from scipy.special import expit

PROBABILITY_SCORES = ("auc", "average_precision", "ece")
THRESHOLDS = np.linspace(0, 1, 101)
BINS = 15  # of probabilities


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
    scores, labels = _kept(predicted, truth, ignored)
    if not labels.any():
        return dict.fromkeys(PROBABILITY_SCORES, np.nan)
    found, others = _found_from_the_top(scores, labels)
    return {
        "auc": _auc(found, others),
        "average_precision": _average_precision(found, others),
        "ece": calibration_error(scores, labels),
    }


def scores_of_no_answer(foreground: int, pixels: int) -> dict[str, float]:
    """PROBABILITY_SCORES of an expression without [SEG] or a failed one: the probability is 0 at every pixel.

    No pixel comes before another, so the AUC is 0.5 and the average precision the share of `foreground` in the
    `pixels` that count; that share is also what the probabilities are off by, the ECE. NaN as for any answer.
    """
    share = foreground / pixels if foreground else np.nan
    return {
        "auc": 0.5 if 0 < foreground < pixels else np.nan,
        "average_precision": share,
        "ece": share,
    }


def threshold_counts(
    predicted: np.ndarray,
    truth: np.ndarray,
    ignored: np.ndarray | None = None,
    thresholds: np.ndarray = THRESHOLDS,
) -> np.ndarray:
    """tp, fp, fn, tn of the masks `predicted` > threshold, int64 of shape (thresholds, 4).

    Strictly above, as the model's own masks are sigmoid > 0.5. `thresholds` ascend and are of the kind of
    `predicted`: probabilities, or logits. The other arguments are those of `probability_scores`.
    """
    scores, labels = _kept(predicted, truth, ignored)
    # The number of thresholds that a pixel is strictly above is the number of masks it is in.
    masks_in = np.searchsorted(thresholds, scores, side="left")
    foreground, background = (
        np.bincount(masks_in[chosen], minlength=len(thresholds) + 1) for chosen in (labels, ~labels)
    )
    tp, fp = (counts[::-1].cumsum()[::-1][1:] for counts in (foreground, background))
    return np.stack([tp, fp, foreground.sum() - tp, background.sum() - fp], axis=1)


def _kept(
    predicted: np.ndarray, truth: np.ndarray, ignored: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels of the pixels that count, both flat."""
    kept = slice(None) if ignored is None else ~ignored
    return predicted[kept].ravel(), truth[kept].ravel()


def _found_from_the_top(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of foreground and of background pixels that score at least so much, score by score from the highest.

    Pixels of one score come together. Before the first stands a 0.
    """
    order = np.argsort(scores)[::-1]
    last_of_ties = np.flatnonzero(np.diff(scores[order], append=np.nan) != 0)
    found = labels[order].cumsum()[last_of_ties]
    return np.append(0, found), np.append(0, last_of_ties + 1 - found)


def _auc(found: np.ndarray, others: np.ndarray) -> float:
    """The area under found over others, by trapezoids: ties count half."""
    area = (np.diff(others) * (found[1:] + found[:-1])).sum() / 2
    return float(area / (found[-1] * others[-1])) if others[-1] else np.nan


def _average_precision(found: np.ndarray, others: np.ndarray) -> float:
    precision = found[1:] / (found[1:] + others[1:])
    return float((np.diff(found) * precision).sum() / found[-1])


def calibration_error(scores: np.ndarray, labels: np.ndarray) -> float:
    """The expected calibration error of probabilities and their bool labels, both flat and not empty."""
    _, probabilities, foreground = binned(scores, labels)
    gaps = foreground - probabilities
    return float(np.abs(gaps).sum() / scores.size)


def binned(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Of the pixels in each of 15 equal bins (low, high], 0 in the first, float64 of shape (3, 15).

    The rows are their number, the sum of their probabilities and how many are foreground; the arguments are as of
    `calibration_error`, and may be empty.
    """
    bins = np.clip(np.ceil(scores * BINS).astype(int) - 1, 0, BINS - 1)
    sums = (np.bincount(bins, weights=weights, minlength=BINS) for weights in (None, scores, labels))
    return np.stack([each.astype(np.float64) for each in sums])
