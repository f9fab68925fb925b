"""Whether probabilities mean what they say near the truth's boundary, where they are in doubt.

Over all pixels a calibration error is that of the background, of which there is most and which nobody doubts.
"""

from typing import Any

import numpy as np
import pandas as pd

from refvessel.geometry import near
from refvessel.metrics.bootstrap import bca_interval, ratio
from refvessel.metrics.probability import PROBABILITY_SCORES, binned, calibration_error
from refvessel.metrics.summary import plain

BORDER_SCORES = ("border_brier", "border_nll", "border_ece")
FROM_LOGITS = (*PROBABILITY_SCORES, *BORDER_SCORES)

_SMALLEST = np.finfo(np.float64).eps  # of a probability in the NLL, as scikit-learn has it


def border_scores(
    predicted: np.ndarray, truth: np.ndarray, ignored: np.ndarray | None, distance: int
) -> dict[str, float]:
    """BORDER_SCORES of one image; NaN where no pixel lies near the boundary, as of an empty truth.

    border_brier    mean of (probability - truth)^2 (Brier, Monthly Weather Review 1950)
    border_nll      mean of -log(probability of what is true), that probability at least 2^-52; nats
    border_ece      expected calibration error, as `probability_scores` has it

    Args:
        predicted: probabilities, float64 of shape (height, width).
        truth, ignored: bool, of that shape; nothing is ignored where it is None.
        distance: see `border`.
    """
    return border_scores_and_bins(predicted, truth, ignored, distance)[0]


def border_scores_and_bins(
    predicted: np.ndarray, truth: np.ndarray, ignored: np.ndarray | None, distance: int
) -> tuple[dict[str, float], np.ndarray]:
    """`border_scores`, and what `binned` says of the same pixels; arguments as there."""
    band = border(truth, ignored, distance)
    scores, labels = predicted[band], truth[band]
    bins = binned(scores, labels)
    if not band.any():
        return dict.fromkeys(BORDER_SCORES, np.nan), bins
    of_the_truth = np.where(labels, scores, 1 - scores)
    return {
        "border_brier": float(((1 - of_the_truth) ** 2).mean()),
        "border_nll": float(-np.log(of_the_truth.clip(min=_SMALLEST)).mean()),
        "border_ece": calibration_error(scores, labels),
    }, bins


def border_reliability(bins: np.ndarray, patients: pd.Series, draws: int) -> dict[str, Any]:
    """The reliability diagram of the pixels near the boundary, pooled over expressions.

    Args:
        bins: of each expression what `binned` says, shape (expressions, 3, 15).
        patients: of each expression.
        draws: of patients, for the 95% intervals.

    Returns:
        `n` expressions with such pixels, of `n_patients`; `bins`, of those that have pixels: `n_pixels`, the mean
        `probability`, the share of `foreground` and the ends of its interval, `low` and `high` (BCa bootstrap over
        patients), None where there is one patient.
    """
    known = bins[:, 0].sum(axis=1) > 0
    codes, names = pd.factorize(patients[known])
    sums = np.zeros((len(names), *bins.shape[1:]))
    np.add.at(sums, codes, bins[known])
    filled = sums[:, 0].sum(axis=0) > 0
    pixels, probability, foreground = (sums[:, row][:, filled] for row in range(3))
    low, high = bca_interval(ratio(foreground, pixels), len(names), draws) if len(names) else ([], [])
    columns = {
        "n_pixels": pixels.sum(axis=0).astype(int),
        "probability": probability.sum(axis=0) / pixels.sum(axis=0),
        "foreground": foreground.sum(axis=0) / pixels.sum(axis=0),
        "low": low,
        "high": high,
    }
    rows = zip(*columns.values(), strict=True)
    return {
        "n": int(known.sum()),
        "n_patients": len(names),
        "bins": [dict(zip(columns, map(plain, row), strict=True)) for row in rows],
    }


def border(truth: np.ndarray, ignored: np.ndarray | None, distance: int) -> np.ndarray:
    """The pixels whose nearest one of the other kind, vessel or background, is at most `distance` pixels away.

    Distances run between pixel centres. Ignored pixels are of neither kind, and beyond the image is nothing: its
    edge is no boundary. Bool of the truth's shape.
    """
    counted = np.ones_like(truth) if ignored is None else ~ignored
    vessel, background = truth & counted, ~truth & counted
    return (vessel & near(background, distance)) | (background & near(vessel, distance))
