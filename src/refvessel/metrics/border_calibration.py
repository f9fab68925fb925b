"""Whether probabilities mean what they say near the truth's boundary, where they are in doubt.

Over all pixels a calibration error is that of the background, of which there is most and which nobody doubts.
"""

import numpy as np

from refvessel.geometry import near
from refvessel.metrics.probability import PROBABILITY_SCORES, calibration_error

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
    band = border(truth, ignored, distance)
    if not band.any():
        return dict.fromkeys(BORDER_SCORES, np.nan)
    scores, labels = predicted[band], truth[band]
    of_the_truth = np.where(labels, scores, 1 - scores)
    return {
        "border_brier": float(((1 - of_the_truth) ** 2).mean()),
        "border_nll": float(-np.log(of_the_truth.clip(min=_SMALLEST)).mean()),
        "border_ece": calibration_error(scores, labels),
    }


def border(truth: np.ndarray, ignored: np.ndarray | None, distance: int) -> np.ndarray:
    """The pixels whose nearest one of the other kind, vessel or background, is at most `distance` pixels away.

    Distances run between pixel centres. Ignored pixels are of neither kind, and beyond the image is nothing: its
    edge is no boundary. Bool of the truth's shape.
    """
    counted = np.ones_like(truth) if ignored is None else ~ignored
    vessel, background = truth & counted, ~truth & counted
    return (vessel & near(background, distance)) | (background & near(vessel, distance))
