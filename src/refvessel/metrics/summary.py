"""Aggregating the table of cases: over expressions, over patients, and pooled.

A score's name ends in how it was aggregated: `_mean` over the expressions, `_patient_mean` the mean of the
patients' means, `_pooled` from the summed counts. `_n` and `_n_patients` say over how many expressions and
patients the two means ran: a score may be undefined for some. The official names stay as they are: `ciou` is
pooled; `giou`, `pr_at_50` to `pr_at_90`, `n_acc` and `t_acc` are means over expressions.
"""

import math
from typing import Any

import numpy as np
import pandas as pd

from refvessel.metrics.overlap import COUNTS, OVERLAP_SCORES, overlap_scores
from refvessel.metrics.policy import EmptyPolicy
from refvessel.metrics.referring import cumulative_iou, referring_terms

Summary = dict[str, int | float | None]

_FOREGROUND_LABEL = "1"  # nnU-Net's name for the one foreground class of a binary mask
_NNUNET_COLUMNS = {
    "Dice": "dice",
    "IoU": "iou",
    "TP": "tp",
    "FP": "fp",
    "FN": "fn",
    "TN": "tn",
    "n_pred": "predicted_pixels",
    "n_ref": "truth_pixels",
}


def summarise(cases: pd.DataFrame, policy: EmptyPolicy) -> Summary:
    """Numbers of expressions and aggregated scores of all cases; None where nothing defines a score."""
    everything = pd.Series("all", index=cases.index)
    return _summaries(cases, everything, policy)["all"]


def summarise_by(cases: pd.DataFrame, column: str, policy: EmptyPolicy) -> dict[str, Summary]:
    """`summarise` of the cases of each value of a column, in the order of the values."""
    return _summaries(cases, cases[column], policy)


def nnunet_summary(cases: pd.DataFrame) -> dict[str, Any]:
    """`metric_per_case`, `mean` and `foreground_mean` as in nnU-Net's summary.json.

    The masks are binary, so the one label is "1" and `foreground_mean` equals its mean over the expressions.
    An expression is identified by its ids instead of nnU-Net's two file names.
    """
    ids = ["image_id", "ref_id", "sent_id", "phrase", "patient", "status"]
    per_case = [
        {
            **{name: case[name] for name in ids},
            "metrics": {
                _FOREGROUND_LABEL: {name: _plain(case[column]) for name, column in _NNUNET_COLUMNS.items()}
            },
        }
        for case in cases.to_dict("records")
    ]
    mean = {name: _plain(cases[column].mean()) for name, column in _NNUNET_COLUMNS.items()}
    return {"metric_per_case": per_case, "mean": {_FOREGROUND_LABEL: mean}, "foreground_mean": mean}


def _summaries(cases: pd.DataFrame, groups: pd.Series, policy: EmptyPolicy) -> dict[str, Summary]:
    counted = pd.DataFrame(
        {
            "n_failed": cases["status"] == "failed",
            "n_no_seg": cases["status"] == "no_seg",
            "n_empty_truth": cases["truth_pixels"] == 0,
            "n_empty_prediction": cases["predicted_pixels"] == 0,
        }
    )
    scores = cases[list(OVERLAP_SCORES)]
    sums = cases[list(COUNTS)].groupby(groups).sum()
    patient_means = scores.groupby([groups.rename("group"), cases["patient"]]).mean()
    by_group = patient_means.groupby(level="group")
    means, ns = scores.groupby(groups).mean(), scores.groupby(groups).count()
    patients_means, patients_ns = by_group.mean(), by_group.count()
    pooled = overlap_scores(sums, policy)
    blocks = [
        cases.groupby(groups).size().rename("n_expressions"),
        cases["patient"].groupby(groups).nunique().rename("n_patients"),
        counted.groupby(groups).sum(),
    ]
    for score in OVERLAP_SCORES:
        blocks += [
            means[score].rename(f"{score}_mean"),
            patients_means[score].rename(f"{score}_patient_mean"),
            pooled[score].rename(f"{score}_pooled"),
            ns[score].rename(f"{score}_n"),
            patients_ns[score].rename(f"{score}_n_patients"),
        ]
    blocks += [cumulative_iou(sums).rename("ciou"), referring_terms(cases).groupby(groups).mean()]
    rows = pd.concat(blocks, axis="columns").to_dict("index")
    return {group: {name: _plain(value) for name, value in row.items()} for group, row in rows.items()}


def _plain(value: Any) -> Any:
    """A value as JSON knows it: NumPy numbers become Python's, NaN becomes None."""
    plain = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(plain, float) and math.isnan(plain) else plain
