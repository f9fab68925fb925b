"""What a mean hides: median and quartiles, the bad end, the worst patient."""

import numpy as np
import pandas as pd

from refvessel.metrics.policy import ERRORS, SCORES

_QUANTILES = {"median": 0.5, "q1": 0.25, "q3": 0.75, "p5": 0.05}
_OF_ERRORS = {"median": 0.5, "q1": 0.25, "q3": 0.75, "p95": 0.95}


def spread_columns(score: str) -> list[str]:
    """The names of a score's columns of `spread`, in the order shown."""
    return [f"{score}_{name}" for name in (*_quantiles(score), "worst_patient")]


def spread(cases: pd.DataFrame, group: np.ndarray) -> pd.DataFrame:
    """How the scores of each group are spread.

    *_median, *_q1, *_q3    over the expressions for which the score is defined
    *_p5                    the 5th percentile of them; of an error, whose high values are the bad ones, *_p95
    *_worst_patient         the patient mean of the worst patient

    Args:
        cases: columns patient and those of SCORES.
        group: the number of each case's group, from 0, int64 of shape (cases,).

    Returns: one row per group in their order, float64, NaN where nothing is defined.
    """
    scores = cases[list(SCORES)].astype(np.float64)
    shares = sorted({*_QUANTILES.values(), *_OF_ERRORS.values()})
    quantiles = scores.groupby(group).quantile(shares)
    patients = scores.groupby([group, cases["patient"].to_numpy()]).mean().groupby(level=0)
    lowest, highest = patients.min(), patients.max()
    columns = {}
    for score in SCORES:
        of_score = quantiles[score].unstack()
        for name, share in _quantiles(score).items():
            columns[f"{score}_{name}"] = of_score[share]
        columns[f"{score}_worst_patient"] = (highest if score in ERRORS else lowest)[score]
    return pd.DataFrame(columns)


def _quantiles(score: str) -> dict[str, float]:
    return _OF_ERRORS if score in ERRORS else _QUANTILES
