"""The threshold that scores best on one split, to be frozen for another: where logits meet the truth."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd

from refvessel.dataset.tree.expressions import Expression, read_expressions
from refvessel.errors import UserError
from refvessel.files import write_json
from refvessel.mask_logits import MODEL_THRESHOLD
from refvessel.metrics.overlap import COUNTS, overlap_scores
from refvessel.metrics.policy import resolve_policy
from refvessel.metrics.probability import threshold_counts
from refvessel.predictions.logits_file import read_logits
from refvessel.predictions.table import read_predictions
from refvessel.predictions.upsampling import image_logits, logit
from refvessel.provenance import file_record, versions
from refvessel.rle import decode
from refvessel.settings.refinement_section import TunedScore
from refvessel.settings.scores_section import Scores

THRESHOLDS = np.arange(1, 100) / 100
TUNED_SCORES = get_args(TunedScore)


def tune_threshold(
    *,
    predictions: Path,
    logits: Sequence[Path],
    dataset: Path,
    score: str,
    output: Path,
    settings: Scores,
) -> dict[str, Any]:
    """Write, and return, the threshold whose mean score over a split's expressions is the highest.

    Of equal ones it is the closest to the model's own. Failed expressions and those without [SEG] count as empty
    masks.

    Args:
        predictions: Parquet table of `gather_predictions`; says which split it is.
        logits: of all its shards.
        dataset: official RefCOCO tree.
        score: dice or iou.
        output: JSON file: the threshold, at each of THRESHOLDS the mean score and over how
            many expressions, and what they were made from.
        settings: how the score is formed where a mask is empty.

    Raises:
        UserError: where logits are missing; a sweep over binary masks would find the same score everywhere.
    """
    if score not in TUNED_SCORES:
        raise UserError(f"a threshold cannot be tuned for {score!r}; choose {' or '.join(TUNED_SCORES)}.")
    table, made_from = read_predictions(predictions)
    run = made_from["made_from"]["run"]
    if run is None:
        raise UserError(f"{predictions} does not say which split it is of; segment again.")
    expressions = {each.sent_id: each for each in read_expressions(dataset, run["split"])}
    counts = _counts(dict(zip(table["sent_id"], table["num_seg"], strict=True)), logits, expressions)
    resolved = resolve_policy(settings.empty_cases)
    values = [overlap_scores(at, resolved)[score] for at in counts]
    means = np.array([each.mean() for each in values])
    best = min(range(len(means)), key=lambda k: (-means[k], abs(THRESHOLDS[k] - MODEL_THRESHOLD)))
    tuned = {
        "threshold": float(THRESHOLDS[best]),
        "score": score,
        "mean": float(means[best]),
        "mean_at_half": float(means[np.searchsorted(THRESHOLDS, MODEL_THRESHOLD)]),
        "n_expressions": len(expressions),
        "n_patients": len({each.patient for each in expressions.values()}),
        "run": run,
        "dataset": made_from["made_from"]["dataset"],
        "sweep": [
            {"threshold": float(threshold), f"{score}_mean": float(mean), f"{score}_n": int(each.count())}
            for threshold, mean, each in zip(THRESHOLDS, means, values, strict=True)
        ],
        "empty_policy": resolved[score],
        "provenance": {
            "versions": versions(),
            "predictions": made_from,
            "logits": [file_record(path) for path in logits],
        },
    }
    write_json(output, tuned)
    return tuned


def _counts(
    num_seg: Mapping[int, int], logits: Sequence[Path], expressions: Mapping[int, Expression]
) -> list[pd.DataFrame]:
    """tp, fp, fn and tn of every expression, one table per threshold."""
    counts = {}
    for sent_id, array in (each for path in logits for each in read_logits(path)):
        if sent_id in expressions:
            counts[sent_id] = _counts_of_one(array, expressions[sent_id])
    for sent_id, expression in expressions.items():
        if sent_id in counts:
            continue
        if num_seg.get(sent_id):
            raise UserError(
                f"sent_id {sent_id} has no stored logits, without which every threshold gives the same score; "
                "set save_logits and segment again."
            )
        counts[sent_id] = _counts_of_one(None, expression)
    stacked = np.stack([counts[sent_id] for sent_id in sorted(counts)], axis=1)
    return [pd.DataFrame(at, columns=COUNTS) for at in stacked]


def _counts_of_one(logits: np.ndarray | None, expression: Expression) -> np.ndarray:
    """int64 (thresholds, 4): tp, fp, fn, tn of an expression, whose prediction is empty where it has no logits."""
    height, width = expression.height, expression.width
    highest = np.full((height, width), -np.inf, np.float32)
    if logits is not None:
        # The union of masks at a threshold is the mask of their highest logits.
        highest = image_logits(logits, height=height, width=width).max(axis=0)
    ignored = None if expression.ignore_mask is None else decode(expression.ignore_mask) == 1
    return threshold_counts(highest, decode(expression.truth) == 1, ignored, logit(THRESHOLDS))
