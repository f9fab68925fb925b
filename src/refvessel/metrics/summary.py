"""Aggregating the table of cases: over expressions, over patients, and pooled, each with its interval.

A score's name ends in how it was aggregated: `_mean` over the expressions, `_patient_mean` the mean of the
patients' means, `_pooled` from the summed counts. `_n` and `_n_patients` say over how many expressions and
patients the two means ran: a score may be undefined for some. The official names stay as they are: `ciou` is
pooled; `giou`, `pr_at_50` to `pr_at_90`, `n_acc` and `t_acc` are means over expressions.

Each of these is a sum over patients divided by another, or the MCC of sums: one bootstrap over patients serves
them all. `_low` and `_high` after a name are the ends of its 95% interval. What a mean hides stands beside it:
see `spread`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from refvessel.answer_status import Status
from refvessel.metrics.bootstrap import Statistic, bca_interval, ratio
from refvessel.metrics.cases import EXPRESSION
from refvessel.metrics.overlap import COUNTS, matthews_correlation, overlap_ratios, overlap_scores
from refvessel.metrics.policy import SCORES, EmptyPolicy
from refvessel.metrics.referring import referring_terms
from refvessel.metrics.spread import columns_at_once, judged_scores, spread, spread_columns
from refvessel.metrics.summary_file import METRIC_PER_CASE

Summary = dict[str, int | float | None]

_CASES_AT_ONCE = 8192  # as Python's objects in memory
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
    """`summarise` of the cases of each group; `groups` has one label per case. In the order of the labels.

    Scores that the table of cases has no column of are not summarised.
    """
    group, labels = pd.factorize(groups, sort=True)
    terms = _terms(cases, group)
    add_up = _adding_up(terms.group)
    above, below = add_up @ terms.above, add_up @ terms.below
    estimates = np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)
    columns = {
        "n_patients": np.bincount(terms.group),
        **_numbers(cases, _adding_up(group)),
        **dict(zip(terms.names, estimates.T, strict=True)),
        **_defined(judged_scores(cases), dict(zip(terms.names, below.T, strict=True))),
        **_pooled(cases, _adding_up(group), policy),
        **spread(cases, group),
    }
    if draws:
        columns |= _intervals(terms, len(labels), draws)
    names = [name for name in _reading_order(terms.names) if name in columns]
    return {
        str(label): {name: plain(columns[name][row]) for name in names} for row, label in enumerate(labels)
    }


def nnunet_summary(cases: pd.DataFrame) -> dict[str, Any]:
    """`metric_per_case`, an iterator, `mean` and `foreground_mean` as in nnU-Net's summary.json.

    A mean leaves out what the empty-case policy leaves undefined, as nnU-Net's does; `dice_n` and `iou_n` of
    `summarise` say over how many it is. The masks are binary, so the one label is "1" and `foreground_mean` equals
    its mean over the expressions. An expression is identified by its ids instead of nnU-Net's two file names.
    """
    ids = (*EXPRESSION, "patient", "status")
    shown = cases[[*ids, *_NNUNET_COLUMNS.values()]]
    per_case = (
        {
            **{name: case[name] for name in ids},
            "metrics": {
                _FOREGROUND_LABEL: {name: plain(case[column]) for name, column in _NNUNET_COLUMNS.items()}
            },
        }
        for first in range(0, len(shown), _CASES_AT_ONCE)
        for case in shown[first : first + _CASES_AT_ONCE].to_dict("records")
    )
    mean = {name: plain(cases[column].mean()) for name, column in _NNUNET_COLUMNS.items()}
    return {METRIC_PER_CASE: per_case, "mean": {_FOREGROUND_LABEL: mean}, "foreground_mean": mean}


def plain(value: Any) -> Any:
    """A value as JSON knows it: NumPy numbers become Python's, NaN becomes None."""
    number = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(number, float) and math.isnan(number) else number


@dataclass(frozen=True)
class _Terms:
    """What each patient of each group adds to the two sums whose ratio is a column's aggregate.

    group: int64, of each row; rows are ordered by group and patient.
    names: of the columns.
    above, below: float64 (rows, columns), numerators and denominators.
    counts: float64 (rows, 4), the pixels of COUNTS.
    """

    group: np.ndarray
    names: list[str]
    above: np.ndarray
    below: np.ndarray
    counts: np.ndarray

    def statistic(self, mine: np.ndarray) -> Statistic:
        """The columns' aggregates of the rows `mine`, and after them the pooled MCC, which is no ratio of sums."""
        ratios, counts = ratio(self.above[mine], self.below[mine]), self.counts[mine]
        return lambda weights: np.column_stack([ratios(weights), matthews_correlation(weights @ counts)])


def _terms(cases: pd.DataFrame, group: np.ndarray) -> _Terms:
    patient, patients = pd.factorize(cases["patient"], sort=True)
    found, row = np.unique(group * len(patients) + patient, return_inverse=True)
    by_patient = _adding_up(row)
    official = referring_terms(cases)
    scores = judged_scores(cases)
    sums, ns = _added_up(by_patient, cases[scores])
    counts = pd.DataFrame(by_patient @ cases[list(COUNTS)].to_numpy(np.float64), columns=COUNTS)
    ratios_above, ratios_below = overlap_ratios(counts)
    blocks = [
        ([f"{score}_mean" for score in scores], sums, ns),
        (
            [f"{score}_patient_mean" for score in scores],
            sums / np.maximum(ns, 1),
            (ns > 0).astype(np.float64),
        ),
        *(([f"{score}_pooled"], ratios_above[score], ratios_below[score]) for score in ratios_above),
        (["ciou"], ratios_above["iou"], ratios_below["iou"]),
        ([*official], *_added_up(by_patient, official)),
    ]
    names, above, below = zip(*blocks, strict=True)
    return _Terms(
        group=found // len(patients),
        names=[*chain.from_iterable(names)],
        above=np.column_stack(above),
        below=np.column_stack(below),
        counts=counts.to_numpy(),
    )


def _adding_up(label: np.ndarray) -> csr_array:
    """A matrix whose product with a table, one row per label, is the sums of the rows of each label."""
    ones = np.ones(len(label))
    return csr_array((ones, (label, np.arange(len(label)))), shape=(label.max() + 1, len(label)))


def _added_up(add_up: csr_array, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The sums of a table's columns by the labels of `add_up`, and of how many values that are defined."""
    sums, ns = [], []
    for names in columns_at_once(table):
        values = table[names].to_numpy(np.float64)
        known = ~np.isnan(values)
        sums.append(add_up @ np.where(known, values, 0))
        ns.append(add_up @ known.astype(np.float64))
    return np.hstack(sums), np.hstack(ns)


def _numbers(cases: pd.DataFrame, add_up: csr_array) -> dict[str, np.ndarray]:
    """How many expressions each group has, int64."""
    counted = {
        "n_expressions": np.ones(len(cases)),
        "n_failed": cases["status"] == Status.FAILED,
        "n_no_seg": cases["status"] == Status.NO_SEG,
        "n_empty_truth": cases["truth_pixels"] == 0,
        "n_empty_prediction": cases["predicted_pixels"] == 0,
    }
    return {
        name: (add_up @ np.asarray(values, np.float64)).astype(np.int64) for name, values in counted.items()
    }


def _defined(scores: Sequence[str], below: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Over how many expressions and patients each score is defined, int64."""
    numbers = {}
    for score in scores:
        numbers[f"{score}_n"] = below[f"{score}_mean"].astype(np.int64)
        numbers[f"{score}_n_patients"] = below[f"{score}_patient_mean"].astype(np.int64)
    return numbers


def _pooled(cases: pd.DataFrame, add_up: csr_array, policy: EmptyPolicy) -> dict[str, np.ndarray]:
    """The scores of each group's summed counts, with the policy for empty ones."""
    counts = pd.DataFrame(add_up @ cases[list(COUNTS)].to_numpy(np.float64), columns=COUNTS)
    scores = overlap_scores(counts, policy)
    return {f"{score}_pooled": scores[score].to_numpy() for score in scores}


def _intervals(terms: _Terms, groups: int, draws: int) -> dict[str, np.ndarray]:
    """The ends of every column's interval, one value per group."""
    ends = []
    for number in range(groups):
        mine = terms.group == number
        ends.append(bca_interval(terms.statistic(mine), int(mine.sum()), draws))
    low, high = (np.array(each).T for each in zip(*ends, strict=True))
    return {
        f"{name}{end}": values
        for end, table in (("_low", low), ("_high", high))
        for name, values in zip([*terms.names, "mcc_pooled"], table, strict=True)
    }


def _reading_order(aggregates: Sequence[str]) -> list[str]:
    """Every column that a summary can have: what was counted, then score by score, then the official ones."""
    names = ["n_expressions", "n_patients", "n_failed", "n_no_seg", "n_empty_truth", "n_empty_prediction"]
    for score in SCORES:
        for aggregation in ("mean", "patient_mean", "pooled"):
            names += [f"{score}_{aggregation}{end}" for end in ("", "_low", "_high")]
        names += [*spread_columns(score), f"{score}_n", f"{score}_n_patients"]
    official = [name for name in aggregates if name not in names]
    return names + [f"{name}{end}" for name in official for end in ("", "_low", "_high")]
