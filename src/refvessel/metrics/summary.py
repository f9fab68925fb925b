"""Aggregating the table of cases: over expressions, over patients, and pooled, each with its interval.

A score's name ends in how it was aggregated: `_mean` over the expressions, `_patient_mean` the mean of the
patients' means, `_pooled` from the summed counts. `_n` and `_n_patients` say over how many expressions and
patients the two means ran: a score may be undefined for some. The official names stay as they are: `ciou` is
pooled; `giou`, `pr_at_50` to `pr_at_90`, `n_acc` and `t_acc` are means over expressions.

Each of these is a sum over patients divided by another: one bootstrap over patients serves them all. `_low` and
`_high` after a name are the ends of its 95% interval.
"""

import math
from typing import Any

import numpy as np
import pandas as pd

from refvessel.answer_status import Status
from refvessel.metrics.bootstrap import bca_interval, ratio
from refvessel.metrics.cases import EXPRESSION
from refvessel.metrics.overlap import COUNTS, overlap_ratios, overlap_scores
from refvessel.metrics.policy import SCORES, EmptyPolicy
from refvessel.metrics.referring import referring_terms

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


def summarise(cases: pd.DataFrame, policy: EmptyPolicy, *, draws: int = 0) -> Summary:
    """Numbers of expressions and aggregated scores of all cases; None where nothing defines a score.

    With `draws`, that many draws of patients give the intervals; without, there are none.
    """
    everything = pd.Series("all", index=cases.index)
    return summarise_by(cases, everything, policy, draws=draws)["all"]


def summarise_by(
    cases: pd.DataFrame, groups: pd.Series, policy: EmptyPolicy, *, draws: int = 0
) -> dict[str, Summary]:
    """`summarise` of the cases of each group; `groups` has one label per case. In the order of the labels."""
    numerators, denominators = _terms(cases, groups)
    estimates = _of_groups(numerators) / _of_groups(denominators)
    pooled_counts = cases[list(COUNTS)].groupby(groups, observed=True).sum()
    pooled = overlap_scores(pooled_counts, policy).add_suffix("_pooled")
    blocks = [_numbers(cases, groups), estimates.assign(**pooled)]
    if draws:
        blocks.append(_intervals(numerators, denominators, draws))
    table = pd.concat(blocks, axis="columns")
    names = [name for name in _reading_order(numerators.columns) if name in table]
    rows = table[names].to_dict("index")
    return {
        str(group): {str(name): plain(value) for name, value in row.items()} for group, row in rows.items()
    }


def nnunet_summary(cases: pd.DataFrame) -> dict[str, Any]:
    """`metric_per_case`, `mean` and `foreground_mean` as in nnU-Net's summary.json.

    A mean leaves out what the empty-case policy leaves undefined, as nnU-Net's does; `dice_n` and `iou_n` of
    `summarise` say over how many it is. The masks are binary, so the one label is "1" and `foreground_mean` equals
    its mean over the expressions. An expression is identified by its ids instead of nnU-Net's two file names.
    """
    ids = (*EXPRESSION, "patient", "status")
    per_case = [
        {
            **{name: case[name] for name in ids},
            "metrics": {
                _FOREGROUND_LABEL: {name: plain(case[column]) for name, column in _NNUNET_COLUMNS.items()}
            },
        }
        for case in cases.to_dict("records")
    ]
    mean = {name: plain(cases[column].mean()) for name, column in _NNUNET_COLUMNS.items()}
    return {"metric_per_case": per_case, "mean": {_FOREGROUND_LABEL: mean}, "foreground_mean": mean}


def plain(value: Any) -> Any:
    """A value as JSON knows it: NumPy numbers become Python's, NaN becomes None."""
    number = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(number, float) and math.isnan(number) else number


def _terms(cases: pd.DataFrame, groups: pd.Series) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What each patient of each group adds to the two sums whose ratio is a column's aggregate.

    Both are indexed by group and patient.
    """
    keys = [groups.rename("group"), cases["patient"]]

    def by_patient(table: pd.DataFrame) -> Any:
        return table.groupby(keys, observed=True)

    scores, official = by_patient(cases[list(SCORES)]), by_patient(referring_terms(cases))
    sums, ns = scores.sum(), scores.count()
    counts = by_patient(cases[list(COUNTS)]).sum()
    above, below = overlap_ratios(counts)
    numerators = [
        sums.add_suffix("_mean"),
        (sums / ns).fillna(0).add_suffix("_patient_mean"),
        above.add_suffix("_pooled"),
        above["iou"].rename("ciou"),
        official.sum(),
    ]
    denominators = [
        ns.add_suffix("_mean"),
        (ns > 0).astype(float).add_suffix("_patient_mean"),
        below.add_suffix("_pooled"),
        below["iou"].rename("ciou"),
        official.count(),
    ]
    return pd.concat(numerators, axis="columns"), pd.concat(denominators, axis="columns")


def _of_groups(terms: pd.DataFrame) -> pd.DataFrame:
    return terms.groupby(level="group", observed=True).sum()


def _numbers(cases: pd.DataFrame, groups: pd.Series) -> pd.DataFrame:
    """How many expressions and patients each group has, and over how many each score is defined."""
    counted = pd.DataFrame(
        {
            "n_failed": cases["status"] == Status.FAILED,
            "n_no_seg": cases["status"] == Status.NO_SEG,
            "n_empty_truth": cases["truth_pixels"] == 0,
            "n_empty_prediction": cases["predicted_pixels"] == 0,
        }
    )
    defined = cases[list(SCORES)].notna()
    patients = defined.apply(lambda has: cases["patient"].where(has))
    return pd.concat(
        [
            cases.groupby(groups, observed=True).size().rename("n_expressions"),
            cases["patient"].groupby(groups, observed=True).nunique().rename("n_patients"),
            counted.groupby(groups, observed=True).sum(),
            defined.groupby(groups, observed=True).sum().add_suffix("_n"),
            patients.groupby(groups, observed=True).nunique().add_suffix("_n_patients"),
        ],
        axis="columns",
    )


def _intervals(numerators: pd.DataFrame, denominators: pd.DataFrame, draws: int) -> pd.DataFrame:
    """The ends of every column's interval, one row per group."""
    above, below = numerators.to_numpy(np.float64), denominators.to_numpy(np.float64)
    members = numerators.groupby(level="group", observed=True).indices
    groups = _of_groups(numerators).index
    ends = [bca_interval(ratio(above[members[g]], below[members[g]]), len(members[g]), draws) for g in groups]
    names = [f"{name}{end}" for end in ("_low", "_high") for name in numerators.columns]
    return pd.DataFrame([np.concatenate(each) for each in ends], index=groups, columns=names)


def _reading_order(aggregates: pd.Index) -> list[str]:
    """Every column that a summary can have: what was counted, then score by score, then the official ones."""
    names = ["n_expressions", "n_patients", "n_failed", "n_no_seg", "n_empty_truth", "n_empty_prediction"]
    for score in SCORES:
        for aggregation in ("mean", "patient_mean", "pooled"):
            names += [f"{score}_{aggregation}{end}" for end in ("", "_low", "_high")]
        names += [f"{score}_n", f"{score}_n_patients"]
    official = [name for name in aggregates if name not in names]
    return names + [f"{name}{end}" for name in official for end in ("", "_low", "_high")]
