"""What the official scorers of referring video segmentation give for the frames of an expression.

J and F are those of `boundary`. A and R are ReVOS' own (Yan et al., ECCV 2024, "VISA"): the share of pixels
that are right, and how little of the prediction lies outside the truth, measured by the size of the
foreground, which is all that any expression of the video means. Beside each score stands its plain
definition, where the official one departs from it: F of the masks' inner boundaries, A and R of the union of
the annotations.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from refvessel import rle
from refvessel.metrics.boundary import boundary_accuracy, inner_boundary_accuracy, region_similarity
from refvessel.rle import RLE

FRAME_SCORES = ("J", "F", "A", "R")
PLAIN = {name: f"plain {name}" for name in FRAME_SCORES}

_NO_DIVISION_BY_ZERO = 1e-6  # added to the size of the foreground by the official scorer


@dataclass(frozen=True)
class Frame:
    """A frame's masks, of one size.

    foreground: of one or more RLEs; None where the benchmark knows none.
    """

    prediction: RLE
    annotations: Sequence[RLE]
    foreground: Sequence[RLE] | None


def frame_scores(frames: Sequence[Frame]) -> pd.DataFrame:
    """FRAME_SCORES and PLAIN of each frame, float64, one row per frame; R is NaN without a foreground."""
    return pd.DataFrame([_scores(frame) for frame in frames], columns=[*FRAME_SCORES, *PLAIN.values()])


def _scores(frame: Frame) -> dict[str, float]:
    prediction = rle.decode(frame.prediction)
    # Sums in bytes, as the official scorer has them: where annotations overlap, A and R see a 2.
    annotated = _sum(frame.annotations, prediction.shape)
    true = annotated > 0
    predicted = prediction.astype(bool)
    scores = {
        "J": region_similarity(predicted, true),
        "F": boundary_accuracy(predicted, true),
        "A": float(np.mean(annotated == prediction)),
        "R": np.nan,
    }
    plain = {
        "J": scores["J"],
        "F": inner_boundary_accuracy(predicted, true),
        "A": float(np.mean(true == predicted)),
        "R": np.nan,
    }
    if frame.foreground is not None:
        foreground = _sum(frame.foreground, prediction.shape)
        scores["R"] = _robustness(annotated, prediction, foreground)
        plain["R"] = _robustness(true.astype(np.uint8), prediction, (foreground > 0).astype(np.uint8))
    return scores | {PLAIN[name]: value for name, value in plain.items()}


def _sum(masks: Sequence[RLE], shape: tuple[int, ...]) -> np.ndarray:
    total = np.zeros(shape, np.uint8)
    for mask in masks:
        total += rle.decode(mask)
    return total


def _robustness(annotated: np.ndarray, prediction: np.ndarray, foreground: np.ndarray) -> float:
    """1 - false positives / foreground, not below 0; all uint8, in which 1 - 2 is 255."""
    false_positives = np.sum((np.uint8(1) - annotated) * prediction)
    return float(max(0.0, 1 - false_positives / (np.sum(foreground) + _NO_DIVISION_BY_ZERO)))
