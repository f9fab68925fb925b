"""Whether a model is as good as another, within a declared margin."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW

from refvessel.metrics.comparison import patient_scores
from refvessel.metrics.policy import ERRORS
from refvessel.metrics.power import LEVEL, standard_deviation

_CLAIMS = ("first", "second")  # which of the two is claimed to be no worse


def non_inferiority_tests(
    models: Mapping[str, pd.DataFrame], margins: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Every two models on every score with a margin, one row each: two one-sided t tests of patients' differences.

    Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15, 1987 (`DescrStatsW.ttost_mean`).

    first_p, second_p   one-sided, that the first (second) is worse than the other by the margin or more
    *_p_holm            corrected by Holm over all claims of all rows
    low, high           90% interval of first minus second, which is what the two tests look at
    first_not_inferior, second_not_inferior, equivalent
                        whether a corrected p is below 5%; both make the two equivalent

    None where fewer than two patients leave it undefined.

    Args:
        models: a table of cases of each by its name; rows of one position are one expression.
        margins: score -> how much worse still counts as no worse, in the score's unit, above 0.
    """
    rows = [
        _tested({name: models[name] for name in pair}, score, margin)
        for score, margin in margins.items()
        for pair in combinations(models, 2)
    ]
    claims = [(row, claim) for row in rows for claim in _CLAIMS if row[f"{claim}_p"] is not None]
    p = [row[f"{claim}_p"] for row, claim in claims]
    corrected = multipletests(p, method="holm")[1] if p else []
    for (row, claim), value in zip(claims, corrected, strict=True):
        row[f"{claim}_p_holm"] = float(value)
        row[f"{claim}_not_inferior"] = bool(value < LEVEL)
    for row in rows:
        row["equivalent"] = bool(row["first_not_inferior"] and row["second_not_inferior"])
    return rows


def _tested(pair: Mapping[str, pd.DataFrame], score: str, margin: float) -> dict[str, Any]:
    first, second = pair
    values = patient_scores(pair, score)
    differences = values[first].to_numpy() - values[second].to_numpy()
    row: dict[str, Any] = {
        "score": score,
        "first": first,
        "second": second,
        "margin": float(margin),
        "n_patients": len(differences),
        "difference": float(differences.mean()) if len(differences) else None,
        **dict.fromkeys(("low", "high", "first_p", "second_p", "first_p_holm", "second_p_holm")),
        "first_not_inferior": False,
        "second_not_inferior": False,
    }
    if len(differences) < 2:
        return row
    above, below = _one_sided(differences, margin)  # that the difference exceeds -margin; stays below margin
    low, high = _interval(differences)
    # Of an error the smaller is the better.
    first_p, second_p = (below, above) if score in ERRORS else (above, below)
    return row | {"low": low, "high": high, "first_p": first_p, "second_p": second_p}


def _one_sided(differences: np.ndarray, margin: float) -> tuple[float, float]:
    if standard_deviation(differences) == 0:  # a t test would divide by it
        return float(differences.mean() <= -margin), float(differences.mean() >= margin)
    _, (_, above, _), (_, below, _) = DescrStatsW(differences).ttost_mean(-margin, margin)
    return float(above), float(below)


def _interval(differences: np.ndarray) -> tuple[float, float]:
    low, high = DescrStatsW(differences).tconfint_mean(2 * LEVEL)
    return float(low), float(high)
