"""Rankings, margins, groups of trainings and other data sets, each against a plain computation."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from refvessel.metrics.comparison import paired_tests, ranking
from refvessel.metrics.external_validation import Place, external_matrix
from refvessel.metrics.non_inferiority import non_inferiority_tests
from refvessel.metrics.rank_methods import agreement, ranked_by_all_methods
from refvessel.metrics.trainings import spread_of_trainings

PATIENTS = 14


def cases(dice: np.ndarray) -> pd.DataFrame:
    """Two expressions per patient, whose mean is given."""
    both = np.repeat(dice, 2) + np.tile([0.01, -0.01], len(dice))
    return pd.DataFrame({"patient": np.repeat(np.arange(len(dice)), 2), "dice": both, "hd95": 10 - 10 * both})


@pytest.fixture(scope="module")
def means() -> dict[str, np.ndarray]:
    """`steady` is a little better than `base` on every patient, `lucky` much better on two and worse on most."""
    base = np.random.default_rng(1).normal(0.7, 0.05, PATIENTS)
    lucky = base - 0.02
    lucky[:2] += 0.25
    return {"lucky": lucky, "base": base, "steady": base + 0.01}


@pytest.fixture(scope="module")
def models(means) -> dict[str, pd.DataFrame]:
    return {name: cases(dice) for name, dice in means.items()}


@pytest.mark.parametrize("score", ["dice", "hd95"])
def test_a_model_that_is_best_on_the_mean_may_win_no_test(models, means, score):
    tests = paired_tests(models, [score], 500)
    table = (
        ranked_by_all_methods(ranking(models, score, 500), models, tests).set_index("model").loc[list(models)]
    )
    of_patients = stats.rankdata(-np.array(list(means.values())), axis=0)
    assert table["mean_rank"].tolist() == pytest.approx(of_patients.mean(axis=1))
    assert table["rank"].tolist() == [1, 3, 2]
    assert table["rank_by_mean_rank"].tolist() == [3, 2, 1]
    assert table["tests_won"].tolist() == [0, 0, 1]
    assert table["rank_by_tests_won"].tolist() == [2.5, 2.5, 1]
    found = {(row["first"], row["second"]): row["kendalls_tau"] for row in agreement(table.reset_index())}
    methods = {"mean": "rank", "mean_rank": "rank_by_mean_rank", "tests_won": "rank_by_tests_won"}
    for first, second in combinations(methods, 2):
        tau = stats.kendalltau(table[methods[first]], table[methods[second]]).statistic
        assert found[first, second] == pytest.approx(tau)


def test_every_rank_has_its_share_of_the_draws(models, means):
    table = ranking(models, "dice", 400).set_index("model").loc[list(models)]
    shares = table[["rank_share_1", "rank_share_2", "rank_share_3"]].to_numpy()
    assert shares.sum(axis=0) == pytest.approx(1)
    assert shares.sum(axis=1) == pytest.approx(1)
    drawn = np.random.default_rng(0).integers(0, PATIENTS, (400, PATIENTS))
    of_draws = np.array([[dice[each].mean() for dice in means.values()] for each in drawn])
    ranks = stats.rankdata(-of_draws, axis=1)
    assert shares == pytest.approx(np.stack([(ranks == rank).mean(axis=0) for rank in (1, 2, 3)], axis=1))


def test_equal_models_share_the_ranks():
    same = cases(np.linspace(0.5, 0.8, 7))
    table = ranking({"one": same, "two": same}, "dice", 100)
    assert table[["rank_share_1", "rank_share_2"]].to_numpy() == pytest.approx(0.5)


def test_the_two_one_sided_tests_are_students(models, means):
    margin = 0.005
    rows = non_inferiority_tests(models, {"dice": margin})
    p = {}
    for row in rows:
        gaps = means[row["first"]] - means[row["second"]]
        if np.ptp(gaps) < 1e-9:
            continue
        above = stats.ttest_1samp(gaps, -margin, alternative="greater").pvalue
        below = stats.ttest_1samp(gaps, margin, alternative="less").pvalue
        p[row["first"], row["second"]] = (row["first_p"], row["second_p"])
        assert p[row["first"], row["second"]] == pytest.approx((above, below), abs=1e-12)
        interval = stats.ttest_1samp(gaps, 0).confidence_interval(0.9)
        assert (row["low"], row["high"]) == pytest.approx(tuple(interval))
    assert len(p) == 2


def test_within_the_margin_two_models_are_equivalent_and_beyond_it_one_is_better(models):
    def verdicts(margin: float, score: str = "dice") -> tuple[bool, bool, bool]:
        pair = {name: models[name] for name in ("base", "steady")}
        (row,) = non_inferiority_tests(pair, {score: margin})
        return row["first_not_inferior"], row["second_not_inferior"], row["equivalent"]

    assert verdicts(0.02) == (True, True, True)
    assert verdicts(0.005) == (False, True, False)  # `steady` is better by 0.01
    assert verdicts(0.05, "hd95") == (False, True, False)  # by 0.1, and of a distance the smaller is better


def test_trainings_and_patients_are_told_apart(means):
    trainings = {name: cases(means["base"] + shift) for name, shift in (("a", 0.0), ("b", 0.02), ("c", 0.04))}
    groups = {"a": "method", "b": "method", "c": "method", "alone": "other"}
    (row,) = spread_of_trainings(trainings | {"alone": cases(means["lucky"])}, groups, ["dice"])
    assert (row["group"], row["trainings"], row["n_patients"]) == ("method", ["a", "b", "c"], PATIENTS)
    assert row["training_sd"] == pytest.approx(0.02)
    assert row["patient_sd"] == pytest.approx(means["base"].std(ddof=1))
    assert row["highest"] - row["lowest"] == pytest.approx(0.04)
    assert row["training_error"] == pytest.approx(0.02 / np.sqrt(3))


def test_a_drop_is_from_the_home_split_of_the_same_name_with_an_interval_of_both():
    random = np.random.default_rng(6)
    home, away = random.normal(0.8, 0.05, 30), random.normal(0.7, 0.08, 40)
    tables = {
        Place("m", "home", "val"): cases(np.full(5, 0.9)),
        Place("m", "home", "test"): cases(home),
        Place("m", "away", "test"): cases(away),
        Place("stranger", "away", "test"): cases(away),
    }
    rows = external_matrix(tables, {"m": "home"}, ["dice", "hd95"], 2000)
    found = {(row["score"], row["model"], row["dataset"], row["split"]): row for row in rows}
    row = found["dice", "m", "away", "test"]
    assert (row["home_dataset"], row["home_split"]) == ("home", "test")
    assert row["drop"] == pytest.approx(home.mean() - away.mean())
    error = np.sqrt(home.var(ddof=1) / 30 + away.var(ddof=1) / 40)
    assert (row["drop_low"], row["drop_high"]) == pytest.approx(
        (row["drop"] - 1.96 * error, row["drop"] + 1.96 * error), abs=0.1 * error
    )
    assert found["hd95", "m", "away", "test"]["drop"] == pytest.approx(10 * row["drop"])
    assert found["dice", "m", "home", "test"]["drop"] is None
    assert found["dice", "stranger", "away", "test"]["drop"] is None
    assert found["dice", "m", "home", "val"]["low"] == pytest.approx(0.9)
