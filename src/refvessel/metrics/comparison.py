"""Statistics of several models on the same expressions: paired tests, effects and ranks.

The unit is the patient: a patient's score is the mean over the expressions for which every compared model has one.
"""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests

from refvessel.metrics.bootstrap import SEED, Statistic, bca_interval, bootstrap, ratio
from refvessel.metrics.clustering import design_effect, intraclass_correlation
from refvessel.metrics.policy import ERRORS
from refvessel.metrics.power import detectable_difference, patients_needed, standard_deviation
from refvessel.metrics.verdicts import verdict

TESTS = ("wilcoxon", "sign_flip")

RANK_SHARE = "rank_share_"  # begins the columns of the shares of ranks
_RANKING = (
    *("score", "model", "n_expressions", "n_patients", "patient_mean", "low", "high"),
    *("rank", "rank_low", "rank_high", "first_share", "kendalls_tau"),
)


def patient_scores(models: Mapping[str, pd.DataFrame], score: str) -> pd.DataFrame:
    """One row per patient, one column per model: the mean over expressions for which all models have the score.

    The tables of cases have the same expressions in the same order.
    """
    return _compared(models, score).groupby(level="patient").mean()


def _compared(models: Mapping[str, pd.DataFrame], score: str) -> pd.DataFrame:
    """One row per expression for which all models have the score, by its patient; one column per model."""
    patients = pd.Index(next(iter(models.values()))["patient"], name="patient")
    scores = {name: cases[score].to_numpy() for name, cases in models.items()}
    return pd.DataFrame(scores, index=patients).dropna()


def paired_tests(
    models: Mapping[str, pd.DataFrame], scores: list[str], draws: int
) -> list[dict[str, Any]]:
    """Every two models on every score, one row each.

    difference      mean over patients of first minus second, with the ends of its 95% interval
    cohens_dz       that mean over the standard deviation of the patients' differences, with its interval
    wilcoxon_p      Wilcoxon's signed-rank test on the patients' differences, two-sided
    sign_flip_p     permutation test that flips the signs of the differences, two-sided; exact where there are
                    fewer flips than `draws`
    *_p_holm        corrected by Holm over all rows
    sd, detectable_difference, patients_needed
                    standard deviation of the patients' differences, the smallest mean difference that as many
                    patients show with 80% power, and the patients that would show this one; see `power`
    icc, design_effect
                    how alike the differences of one patient's expressions are, and what that costs; see `clustering`
    verdict         what may be said, of `Verdict`; None where there is no patient

    None where something is undefined, as an interval of one patient.
    """
    rows = []
    for score in scores:
        for first, second in combinations(models, 2):
            pair = {name: models[name] for name in (first, second)}
            rows.append(
                {"score": score, "first": first, "second": second, **_paired_test(pair, score, draws)}
            )
    for test in TESTS:
        tested = [row for row in rows if row[f"{test}_p"] is not None]
        corrected = multipletests([row[f"{test}_p"] for row in tested], method="holm")[1] if tested else []
        for row, p in zip(tested, corrected, strict=True):
            row[f"{test}_p_holm"] = float(p)
    for row in rows:
        row["verdict"] = verdict(row) if row["n_patients"] else None
    return rows


def ranking(models: Mapping[str, pd.DataFrame], score: str, draws: int) -> pd.DataFrame:
    """The models by their patient mean of a score, the best first.

    Columns: score, model, n_expressions and n_patients (for which all models have the score), patient_mean and the
    ends of its 95% interval, rank (1 is best; equal ones share their mean), rank_low and rank_high (between which
    95% of the draws of patients put it), first_share (of the draws that put it first, alone or with others) and
    kendalls_tau (mean agreement of the draws' order with this one, draws of which all models are equal left out;
    NaN where all are equal), and rank_share_1 to rank_share_K for K models (the share of draws that gives it that
    rank; equal models share their ranks evenly).
    """
    values = patient_scores(models, score)
    patients = len(values)
    if not patients:
        none = {"score": score, "model": list(models), "n_expressions": 0, "n_patients": 0}
        shares = [f"{RANK_SHARE}{rank}" for rank in range(1, len(models) + 1)]
        return pd.DataFrame(none, columns=[*_RANKING, *shares])
    statistic = ratio(values.to_numpy(), np.ones(values.shape))
    low, high = bca_interval(statistic, patients, draws)
    sign = 1 if score in ERRORS else -1
    ranks = stats.rankdata(sign * values.mean().to_numpy())
    drawn = sign * bootstrap(statistic, patients, draws).round(12)  # what differs by rounding is equal
    drawn_ranks = stats.rankdata(drawn, axis=1)
    rank_low, rank_high = np.quantile(drawn_ranks, [0.025, 0.975], axis=0, method="inverted_cdf")
    table = pd.DataFrame(
        {
            "score": score,
            "model": list(models),
            "n_expressions": len(_compared(models, score)),
            "n_patients": patients,
            "patient_mean": values.mean().to_numpy(),
            "low": low,
            "high": high,
            "rank": ranks,
            "rank_low": rank_low,
            "rank_high": rank_high,
            "first_share": (drawn == drawn.min(axis=1, keepdims=True)).mean(axis=0),
            "kendalls_tau": _mean_tau(ranks, drawn_ranks),
            **{f"{RANK_SHARE}{rank}": share for rank, share in enumerate(_rank_shares(drawn_ranks), start=1)},
        }
    )
    return table.sort_values(["rank", "model"], ignore_index=True)


def _paired_test(pair: dict[str, pd.DataFrame], score: str, draws: int) -> dict[str, Any]:
    values = patient_scores(pair, score)
    first, second = (values[name].to_numpy() for name in pair)
    differences = first - second
    patients = len(differences)
    expressions = _compared(pair, score)
    row: dict[str, Any] = {"n_expressions": len(expressions), "n_patients": patients}
    numbers = dict.fromkeys(
        (
            *("first_patient_mean", "second_patient_mean", "difference", "difference_low", "difference_high"),
            *("cohens_dz", "cohens_dz_low", "cohens_dz_high"),
            *(f"{test}_p{corrected}" for test in TESTS for corrected in ("", "_holm")),
            *("sd", "detectable_difference", "icc", "design_effect"),
        )
    )
    needed = None
    if patients:
        effect = _effect(differences)
        low, high = bca_interval(effect, patients, draws)
        mean, dz = effect(np.ones((1, patients)))[0]
        numbers |= {
            "first_patient_mean": first.mean(),
            "second_patient_mean": second.mean(),
            "difference": mean,
            "difference_low": low[0],
            "difference_high": high[0],
            "cohens_dz": dz,
            "cohens_dz_low": low[1],
            "cohens_dz_high": high[1],
            "wilcoxon_p": _wilcoxon(differences),
            "sign_flip_p": _sign_flip(differences, draws),
        }
        sd = standard_deviation(differences)
        needed = patients_needed(float(mean), sd)
        gaps = (expressions[[*pair][0]] - expressions[[*pair][1]]).to_numpy()
        icc = intraclass_correlation(gaps, expressions.index.to_numpy())
        numbers |= {
            "sd": sd,
            "detectable_difference": detectable_difference(sd, patients),
            "icc": icc,
            "design_effect": design_effect(icc, len(gaps), patients),
        }
    plain = {name: None if value is None or np.isnan(value) else float(value) for name, value in numbers.items()}
    return row | plain | {"patients_needed": needed}


def _effect(differences: np.ndarray) -> Statistic:
    """Mean and Cohen's d_z of the drawn patients' differences."""

    def statistic(weights: np.ndarray) -> np.ndarray:
        n = weights.sum(axis=1)
        mean = weights @ differences / n
        spread = np.sqrt(np.maximum(weights @ differences**2 - n * mean**2, 0) / np.maximum(n - 1, 1))
        varies = spread > 1e-12
        dz = np.divide(mean, spread, out=np.full_like(mean, np.nan), where=varies)
        return np.stack([mean, dz], axis=1)

    return statistic


def _wilcoxon(differences: np.ndarray) -> float:
    return float(stats.wilcoxon(differences).pvalue) if differences.any() else 1.0


def _sign_flip(differences: np.ndarray, draws: int) -> float:
    if len(differences) == 1:
        return 1.0
    test = stats.permutation_test(
        (differences,),
        lambda sample, axis: sample.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=draws,
        rng=np.random.default_rng(SEED),
    )
    return float(test.pvalue)


def _mean_tau(ranks: np.ndarray, drawn_ranks: np.ndarray) -> float:
    """Mean over draws of Kendall's tau-b between the observed ranks and the draw's."""
    first, second = np.triu_indices(len(ranks), k=1)
    observed = np.sign(ranks[first] - ranks[second])
    drawn = np.sign(drawn_ranks[:, first] - drawn_ranks[:, second])
    scale = np.sqrt(np.abs(observed).sum() * np.abs(drawn).sum(axis=1))
    tau = np.divide(drawn @ observed, scale, out=np.full(len(drawn), np.nan), where=scale > 0)
    return float(np.nanmean(tau)) if np.isfinite(tau).any() else np.nan


def _rank_shares(drawn_ranks: np.ndarray) -> list[np.ndarray]:
    """For each rank, the share of draws that gives it to each model; equal ones share theirs evenly.

    `drawn_ranks` has the ranks of each draw, equal ones sharing their mean, float64 of shape (draws, models).
    """
    equal = (drawn_ranks[:, :, None] == drawn_ranks[:, None, :]).sum(axis=2)
    first, last = drawn_ranks - (equal - 1) / 2, drawn_ranks + (equal - 1) / 2
    ranks = range(1, drawn_ranks.shape[1] + 1)
    return [(((first <= rank) & (rank <= last)) / equal).mean(axis=0) for rank in ranks]
