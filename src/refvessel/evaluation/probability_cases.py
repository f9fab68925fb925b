"""Scores of many expressions' probabilities, from their stored logits, in parallel."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from refvessel import rle
from refvessel.errors import UserError
from refvessel.metrics.border_calibration import FROM_LOGITS, border_scores_and_bins
from refvessel.metrics.overlap import COUNTS, overlap_scores
from refvessel.metrics.policy import EmptyPolicy
from refvessel.metrics.probability import (
    THRESHOLDS,
    probabilities,
    probability_scores,
    scores_of_no_answer,
    threshold_counts,
)
from refvessel.parallel import call_each
from refvessel.predictions.logits_file import read_logits, stored_sent_ids
from refvessel.predictions.upsampling import image_logits

_EXPRESSIONS_PER_TASK = 16
_MOST_NAMED = 5


class OfProbabilities(NamedTuple):
    """What was found of the rows of `pair_expressions`.

    scores: FROM_LOGITS, float64.
    counts: of pixels at each of THRESHOLDS, int64 of shape (expressions, thresholds, 4): tp, fp, fn, tn.
    border: what `binned` says of the pixels near the boundary, float64 (expressions, 3, bins).
    """

    scores: pd.DataFrame
    counts: np.ndarray
    border: np.ndarray


def probability_cases(
    paired: pd.DataFrame, logits: Sequence[Path], *, border_distance: int, threads: int
) -> OfProbabilities:
    """What the logits say of each row of `pair_expressions`.

    A pixel's probability is the highest of an expression's masks, since their union at a threshold is the mask of
    that. Expressions without [SEG] and failed ones have the probability 0 everywhere: `scores_of_no_answer`, and
    an empty mask at every threshold. `border_distance` says how near the truth's boundary is, in pixels; `threads`
    processes share the work.

    Raises UserError, before any is scored, unless `logits` are those of exactly the expressions with masks.
    """
    stored = [(Path(path), stored_sent_ids(path)) for path in logits]
    _require_complete(paired, [sent_id for _, sent_ids in stored for sent_id in sent_ids])
    columns = ["sent_id", "num_seg", "mask", "ignore_mask"]
    rows = {row["sent_id"]: row for row in paired[columns].to_dict("records")}
    tasks = [
        (
            path,
            [rows[sent_id] for sent_id in sent_ids[first : first + _EXPRESSIONS_PER_TASK]],
            border_distance,
        )
        for path, sent_ids in stored
        for first in range(0, len(sent_ids), _EXPRESSIONS_PER_TASK)
    ]
    done = call_each(_score_some, *zip(*tasks, strict=True), threads=threads) if tasks else []
    scored = {sent_id: result for some in done for sent_id, result in some.items()}
    row: Any
    scores, borders = [], []
    counts = np.zeros((len(paired), len(THRESHOLDS), len(COUNTS)), np.int64)
    for row, at_thresholds in zip(paired.itertuples(), counts, strict=True):
        if row.sent_id in scored:
            of_one, at_thresholds[:], border = scored[row.sent_id]
            scores.append(of_one)
        else:
            foreground = rle.area(row.scored_truth)
            truth, ignored = _decoded(row.mask, row.ignore_mask)
            nothing = np.zeros(truth.shape)
            near_the_border, border = border_scores_and_bins(nothing, truth, ignored, border_distance)
            scores.append(scores_of_no_answer(foreground, row.scored_pixels) | near_the_border)
            at_thresholds[:, 2:] = foreground, row.scored_pixels - foreground
        borders.append(border)
    table = pd.DataFrame(scores, columns=FROM_LOGITS, index=paired.index, dtype=np.float64)
    return OfProbabilities(table, counts, np.stack(borders))


def threshold_table(counts: np.ndarray, policy: EmptyPolicy) -> pd.DataFrame:
    """One row per threshold: n_expressions, the summed counts, and each overlap score's `_mean`, `_n`, `_pooled`.

    `_n` says over how many expressions the mean runs. `counts` are those of `probability_cases`.
    """
    pooled = pd.DataFrame(counts.sum(axis=0), columns=COUNTS)
    scores = [
        overlap_scores(pd.DataFrame(counts[:, number], columns=COUNTS), policy)
        for number in range(len(THRESHOLDS))
    ]
    return pd.concat(
        [
            pd.DataFrame({"threshold": THRESHOLDS, "n_expressions": len(counts)}),
            pooled,
            pd.DataFrame([each.mean() for each in scores]).add_suffix("_mean"),
            pd.DataFrame([each.count() for each in scores]).add_suffix("_n"),
            overlap_scores(pooled, policy).add_suffix("_pooled"),
        ],
        axis="columns",
    )


def _score_some(
    path: Path, rows: list[dict[str, Any]], border_distance: int
) -> dict[int, tuple[dict[str, float], np.ndarray, np.ndarray]]:
    """By sent_id, the scores, the counts and the border's bins of expressions of one file."""
    scored = {}
    for row, (_, logits) in zip(rows, read_logits(path, [row["sent_id"] for row in rows]), strict=True):
        if len(logits) != row["num_seg"]:
            raise UserError(
                f"{path} has logits of {len(logits)} masks for sent_id {row['sent_id']}, the predictions have "
                f"{row['num_seg']}; give the logits of these predictions."
            )
        truth, ignored = _decoded(row["mask"], row["ignore_mask"])
        height, width = truth.shape
        predicted = probabilities(image_logits(logits, height=height, width=width).max(axis=0))
        counts = threshold_counts(predicted, truth, ignored)
        scores = probability_scores(predicted, truth, ignored)
        near_the_border, border = border_scores_and_bins(predicted, truth, ignored, border_distance)
        scored[row["sent_id"]] = scores | near_the_border, counts, border
    return scored


def _decoded(truth: rle.RLE, ignored: rle.RLE | None) -> tuple[np.ndarray, np.ndarray | None]:
    return rle.decode(truth).astype(bool), None if ignored is None else rle.decode(ignored).astype(bool)


def _require_complete(paired: pd.DataFrame, stored: list[int]) -> None:
    with_masks = set(paired["sent_id"][paired["num_seg"] > 0])
    for fault, sent_ids in (
        ("have no stored logits", with_masks - set(stored)),
        ("have stored logits but no mask in the predictions", set(stored) - with_masks),
        ("have stored logits twice", {sent_id for sent_id, n in Counter(stored).items() if n > 1}),
    ):
        if sent_ids:
            named = ", ".join(map(str, sorted(sent_ids)[:_MOST_NAMED]))
            raise UserError(
                f"{len(sent_ids)} expressions (sent_id {named}) {fault}; give the logits of all shards of these "
                "predictions, once each."
            )
