"""What a mean hides: median and quartiles, the bad end, the worst patient."""

import numpy as np
import pandas as pd

from refvessel.metrics.policy import ERRORS, SCORES

_PERCENTILES = {"median": 50, "q1": 25, "q3": 75, "p5": 5}
_VALUES_AT_ONCE = 1 << 22  # 32 MiB
_OF_ERRORS = {"median": 50, "q1": 25, "q3": 75, "p95": 95}


def spread_columns(score: str) -> list[str]:
    """The names of a score's columns of `spread`, in the order shown."""
    return [f"{score}_{name}" for name in (*percentiles_shown(score), "worst_patient")]


def judged_scores(cases: pd.DataFrame) -> list[str]:
    """Those of SCORES that a table of cases has."""
    return [score for score in SCORES if score in cases]


def spread(cases: pd.DataFrame, group: np.ndarray) -> dict[str, np.ndarray]:
    """How the scores of each group are spread.

    *_median, *_q1, *_q3    over the expressions for which the score is defined
    *_p5                    the 5th percentile of them; of an error, whose high values are the bad ones, *_p95
    *_worst_patient         the patient mean of the worst patient

    Args:
        cases: columns patient and all or some of SCORES.
        group: the number of each case's group, from 0, int64 of shape (cases,).

    Returns: of each of these, one value per group in their order, float64, NaN where nothing is defined.
    """
    percents = sorted({*_PERCENTILES.values(), *_OF_ERRORS.values()})
    patient, patients = pd.factorize(cases["patient"])
    columns: dict[str, np.ndarray] = {}
    for names in columns_at_once(cases[judged_scores(cases)]):
        scores = pd.DataFrame(cases[names].to_numpy(np.float64))  # in one piece, which is grouped soonest
        taken = scores.groupby(group).quantile(np.array(percents) / 100).to_numpy()
        percentiles = taken.reshape(-1, len(percents), len(names))  # of groups
        means = scores.groupby(group * len(patients) + patient).mean()
        _, first = np.unique(means.index // len(patients), return_index=True)  # patient of each group
        lowest, highest = (worst.reduceat(means.to_numpy(), first) for worst in (np.fmin, np.fmax))
        for number, score in enumerate(names):
            for name, percent in percentiles_shown(score).items():
                columns[f"{score}_{name}"] = percentiles[:, percents.index(percent), number]
            columns[f"{score}_worst_patient"] = (highest if score in ERRORS else lowest)[:, number]
    return columns


def columns_at_once(table: pd.DataFrame) -> list[list[str]]:
    """The names of a table's columns, as many together as may be copied in memory; all of a small one."""
    names = list(map(str, table.columns))
    most = max(1, _VALUES_AT_ONCE // max(1, len(table)))
    return [names[first : first + most] for first in range(0, len(names), most)]


def percentiles_shown(score: str) -> dict[str, int]:
    """What follows the name of a score in its columns -> the percentile, in the order shown."""
    return _OF_ERRORS if score in ERRORS else _PERCENTILES


def bad_end(score: str) -> str:
    """What follows the name of a score in the column of its bad end."""
    return list(percentiles_shown(score))[-1]
