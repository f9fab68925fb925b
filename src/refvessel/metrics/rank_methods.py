"""Rankings by three methods, and how far they agree."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from refvessel.metrics.comparison import patient_scores
from refvessel.metrics.policy import ERRORS
from refvessel.metrics.verdicts import Verdict

# How a ranking is made -> the column of its ranks.
METHODS = {"mean": "rank", "mean_rank": "rank_by_mean_rank", "tests_won": "rank_by_tests_won"}


def ranked_by_all_methods(
    ranked: pd.DataFrame, models: Mapping[str, pd.DataFrame], tests: Sequence[Mapping[str, Any]]
) -> pd.DataFrame:
    """A ranking of one score with two more methods beside that by the patient mean.

    mean_rank   the mean over patients of a model's rank among all on that patient
    tests_won   the pairs of which the model is shown to be the better one
    rank_by_*   the rank by each, 1 the best, equal ones sharing their mean

    Args:
        ranked: of `ranking`.
        models: the tables that it was made from.
        tests: rows of `paired_tests` of the same models; those of other scores are passed over.

    Returns: the rows of `ranked` in their order, with four more columns.
    """
    score = ranked["score"].iloc[0]
    sign = 1 if score in ERRORS else -1
    values = patient_scores(models, score)
    ranks = stats.rankdata(sign * values.to_numpy().round(12), axis=1)
    mean_ranks = dict(zip(models, ranks.mean(axis=0) if len(values) else [np.nan] * len(models), strict=True))
    won = dict.fromkeys(models, 0)
    for row in tests:
        if row["score"] == score and row["verdict"] == Verdict.SHOWN:
            won[row["first"] if sign * row["difference"] < 0 else row["second"]] += 1
    table = ranked.assign(
        mean_rank=ranked["model"].map(mean_ranks).astype(float), tests_won=ranked["model"].map(won)
    )
    table[METHODS["mean_rank"]] = table["mean_rank"].rank()
    table[METHODS["tests_won"]] = (-table["tests_won"]).rank() if len(values) else np.nan
    return table


def agreement(ranked: pd.DataFrame) -> list[dict[str, Any]]:
    """Kendall's tau-b between every two methods, one row each per score; None where one ranks all models alike.

    `ranked` are rows of `ranked_by_all_methods`.
    """
    rows = []
    for score, table in ranked.groupby("score", sort=False):
        for first, second in combinations(METHODS, 2):
            tau = stats.kendalltau(table[METHODS[first]], table[METHODS[second]]).statistic
            found = None if np.isnan(tau) else float(tau)
            rows.append({"score": score, "first": first, "second": second, "kendalls_tau": found})
    return rows
