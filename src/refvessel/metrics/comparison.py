"""Statistics of several models on the same expressions: paired tests, effects and ranks.

The unit is the patient: a patient's score is the mean over the expressions for which every compared model has one.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests

from refvessel.metrics.bootstrap import SEED, Statistic, bca_interval, bca_interval_of, bootstrap, ratio
from refvessel.metrics.clustering import design_effect, intraclass_correlation
from refvessel.metrics.policy import ERRORS
from refvessel.metrics.power import detectable_difference, patients_needed, standard_deviation
from refvessel.metrics.verdicts import verdict

TESTS = ("wilcoxon", "sign_flip")

_NUMBERS = (
    *("first_patient_mean", "second_patient_mean", "difference", "difference_low", "difference_high"),
    *("cohens_dz", "cohens_dz_low", "cohens_dz_high"),
    *(f"{test}_p{corrected}" for test in TESTS for corrected in ("", "_holm")),
    *("sd", "detectable_difference", "icc", "design_effect"),
)
_ROWS_AT_ONCE = 100  # pairs that share their draws
_SIGNS_AT_ONCE = 1 << 20

RANK_SHARE = "rank_share_"  # begins the columns of the shares of ranks
_RANKING = (
    *("score", "model", "n_expressions", "n_patients", "patient_mean", "low", "high"),
    *("rank", "rank_low", "rank_high", "first_share", "kendalls_tau"),
)


def patient_scores(models: Mapping[str, pd.DataFrame], score: str) -> pd.DataFrame:
    """One row per patient, one column per model: the mean over expressions for which all models have the score.

    The tables of cases have the same expressions in the same order.
    """
    return _by_patient(_compared(models, score))


def _by_patient(expressions: pd.DataFrame) -> pd.DataFrame:
    return expressions.groupby(level="patient").mean()


def _compared(models: Mapping[str, pd.DataFrame], score: str) -> pd.DataFrame:
    """One row per expression for which all models have the score, by its patient; one column per model."""
    patients = pd.Index(next(iter(models.values()))["patient"], name="patient")
    scores = {name: cases[score].to_numpy() for name, cases in models.items()}
    return pd.DataFrame(scores, index=patients).dropna()


def paired_tests(models: Mapping[str, pd.DataFrame], scores: list[str], draws: int) -> list[dict[str, Any]]:
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
                    how alike the differences of one patient's expressions are, and its cost; see `clustering`
    verdict         what may be said, of `Verdict`; None where there is no patient

    None where something is undefined, as an interval of one patient.
    """
    rows, differences = [], []
    for score in scores:
        for first, second in combinations(models, 2):
            pair = {name: models[name] for name in (first, second)}
            row, of_patients = _described(pair, score)
            rows.append({"score": score, "first": first, "second": second, **row})
            differences.append(of_patients)
    for number, tested_row in _resampled(differences, draws):
        rows[number] |= tested_row
    for test in TESTS:
        tested = [row for row in rows if row[f"{test}_p"] is not None]
        corrected = multipletests([row[f"{test}_p"] for row in tested], method="holm")[1] if tested else []
        for row, p in zip(tested, corrected, strict=True):
            row[f"{test}_p_holm"] = float(p)
    with_patients = [row for row in rows if row["n_patients"]]
    for row in rows:
        row["verdict"] = verdict(row, len(with_patients)) if row["n_patients"] else None
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
    drawn = bootstrap(statistic, patients, draws)
    low, high = bca_interval_of(drawn, statistic, patients)
    sign = 1 if score in ERRORS else -1
    ranks = stats.rankdata(sign * values.mean().to_numpy())
    drawn = sign * drawn.round(12)  # what differs by rounding is equal
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


def _described(pair: dict[str, pd.DataFrame], score: str) -> tuple[dict[str, Any], np.ndarray]:
    """What needs no resampling of a row of `paired_tests`, and the patients' differences."""
    first, second = pair
    expressions = _compared(pair, score)
    values = _by_patient(expressions)
    differences = (values[first] - values[second]).to_numpy()
    row: dict[str, Any] = {"n_expressions": len(expressions), "n_patients": len(differences)}
    row |= dict.fromkeys(_NUMBERS) | {"patients_needed": None}
    if len(differences):
        mean, sd = float(differences.mean()), standard_deviation(differences)
        gaps = (expressions[first] - expressions[second]).to_numpy()
        icc = intraclass_correlation(gaps, expressions.index.to_numpy())
        row |= _plain(
            first_patient_mean=values[first].mean(),
            second_patient_mean=values[second].mean(),
            difference=mean,
            wilcoxon_p=_wilcoxon(differences),
            sd=sd,
            detectable_difference=detectable_difference(sd, len(differences)),
            icc=icc,
            design_effect=design_effect(icc, len(gaps), len(differences)),
        )
        row["patients_needed"] = patients_needed(mean, sd)
    return row, differences


def _resampled(differences: list[np.ndarray], draws: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """The number of each row that has patients, and what resampling says of it.

    Rows of as many patients share their draws, of which a run takes as many rows as fit into memory.
    """
    by_patients: dict[int, list[int]] = {}
    for number, each in enumerate(differences):
        by_patients.setdefault(len(each), []).append(number)
    by_patients.pop(0, None)
    for patients, numbers in by_patients.items():
        for start in range(0, len(numbers), _ROWS_AT_ONCE):
            some = numbers[start : start + _ROWS_AT_ONCE]
            together = np.stack([differences[number] for number in some], axis=1)
            effect = _effect(together)
            low, high = bca_interval(effect, patients, draws)
            sizes, flipped = effect(np.ones((1, patients)))[0], sign_flip_test(together, draws)
            for place, number in enumerate(some):
                dz = place + len(some)
                yield (
                    number,
                    _plain(
                        difference_low=low[place],
                        difference_high=high[place],
                        cohens_dz=sizes[dz],
                        cohens_dz_low=low[dz],
                        cohens_dz_high=high[dz],
                        sign_flip_p=flipped[place],
                    ),
                )


def _plain(**numbers: float) -> dict[str, float | None]:
    return {name: None if np.isnan(value) else float(value) for name, value in numbers.items()}


def _effect(differences: np.ndarray) -> Statistic:
    """Means, then Cohen's d_z, of the drawn patients' differences, float64 of shape (patients, pairs)."""

    def statistic(weights: np.ndarray) -> np.ndarray:
        n = weights.sum(axis=1, keepdims=True)
        mean = weights @ differences / n
        spread = np.sqrt(np.maximum(weights @ differences**2 - n * mean**2, 0) / np.maximum(n - 1, 1))
        varies = spread > 1e-12
        dz = np.divide(mean, spread, out=np.full_like(mean, np.nan), where=varies)
        return np.hstack([mean, dz])

    return statistic


def _wilcoxon(differences: np.ndarray) -> float:
    return float(stats.wilcoxon(differences).pvalue) if differences.any() else 1.0


def sign_flip_test(differences: np.ndarray, draws: int) -> np.ndarray:
    """The two-sided p value of each pair, from the means of all sign flips, or of `draws` where those are more.

    `differences` is float64 of shape (patients, pairs). The flip that leaves all as it is counts among those that
    are drawn (Phipson and Smyth, 2010), so that no p is 0.
    """
    patients = len(differences)
    observed = np.abs(differences.sum(axis=0))
    smallest = observed - 1e-12 * np.maximum(1.0, np.abs(differences).sum(axis=0))
    every = patients < 63 and 2**patients <= draws
    flips = 2**patients if every else draws
    random = np.random.default_rng(SEED)
    at_once = max(1, _SIGNS_AT_ONCE // patients)
    extreme = np.zeros(differences.shape[1])
    for start in range(0, flips, at_once):
        count = min(at_once, flips - start)
        bits: np.ndarray
        if every:
            bits = (np.arange(start, start + count)[:, None] >> np.arange(patients)) & 1
        else:
            drawn = random.integers(0, 256, (count, -(-patients // 8)), dtype=np.uint8)
            bits = np.unpackbits(drawn, axis=1, count=patients)
        signs = 1.0 - 2.0 * bits
        extreme += (np.abs(signs @ differences) >= smallest).sum(axis=0)
    return extreme / flips if every else (extreme + 1) / (flips + 1)


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
