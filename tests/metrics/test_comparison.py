from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.stats import bootstrap

from refvessel.metrics.comparison import paired_tests, patient_scores, ranking


def cases(dice, patients, **columns) -> pd.DataFrame:
    return pd.DataFrame({"patient": patients, "dice": dice, **columns})


@pytest.fixture
def models() -> dict[str, pd.DataFrame]:
    """Three models on 60 expressions of 12 patients: the first is better by 0.05, the others are alike."""
    random = np.random.default_rng(5)
    patients = np.repeat([f"P{number:02}" for number in range(12)], 5)
    hard = random.normal(0.7, 0.1, 12).repeat(5)
    scores = {
        name: hard + gain + random.normal(0, 0.05, 60)
        for name, gain in (("better", 0.05), ("one", 0.0), ("two", 0.0))
    }
    return {name: cases(dice, patients, hd95=10 - 10 * dice) for name, dice in scores.items()}


def differences(models, first, second) -> np.ndarray:
    return np.array(
        [
            models[first].loc[models[first]["patient"] == patient, "dice"].mean()
            - models[second].loc[models[second]["patient"] == patient, "dice"].mean()
            for patient in sorted(set(models[first]["patient"]))
        ]
    )


def test_a_patient_counts_once_however_many_frames_there_are():
    table = {
        "a": cases([1, 1, 1, 0], ["P1", "P1", "P1", "P2"]),
        "b": cases([0, 0, 0, 0], ["P1"] * 3 + ["P2"]),
    }
    (row,) = paired_tests(table, ["dice"], draws=100)
    assert (row["n_expressions"], row["n_patients"]) == (4, 2)
    assert row["difference"] == 0.5


def test_only_expressions_that_both_models_have_a_score_for_are_compared():
    one = cases([1.0, np.nan, 0.5], ["P1", "P1", "P2"])
    two = cases([0.0, 1.0, np.nan], ["P1", "P1", "P2"])
    assert patient_scores({"one": one, "two": two}, "dice").to_dict("index") == {"P1": {"one": 1, "two": 0}}
    (row,) = paired_tests({"one": one, "two": two}, ["dice"], draws=100)
    assert (row["n_expressions"], row["n_patients"], row["difference"]) == (1, 1, 1)
    assert row["difference_low"] is None


def test_the_tests_are_those_of_patients_differences(models):
    rows = {(row["first"], row["second"]): row for row in paired_tests(models, ["dice"], draws=2000)}
    assert list(rows) == [("better", "one"), ("better", "two"), ("one", "two")]
    for pair, row in rows.items():
        gaps = differences(models, *pair)
        assert row["difference"] == pytest.approx(gaps.mean(), abs=1e-12)
        assert row["cohens_dz"] == pytest.approx(gaps.mean() / gaps.std(ddof=1), abs=1e-9)
        assert row["wilcoxon_p"] == pytest.approx(stats.wilcoxon(gaps).pvalue, abs=1e-12)


def test_the_interval_of_the_difference_equals_scipys(models):
    rows = paired_tests(models, ["dice"], draws=2000)
    gaps = differences(models, "better", "one")
    options = {"n_resamples": 2000, "method": "BCa"}
    of_mean = bootstrap((gaps,), np.mean, rng=np.random.default_rng(0), **options).confidence_interval
    assert rows[0]["difference_low"] == pytest.approx(of_mean.low, abs=1e-9)
    assert rows[0]["difference_high"] == pytest.approx(of_mean.high, abs=1e-9)

    def dz(sample, axis):
        return sample.mean(axis=axis) / sample.std(axis=axis, ddof=1)

    of_dz = bootstrap((gaps,), dz, rng=np.random.default_rng(0), **options).confidence_interval
    assert rows[0]["cohens_dz_low"] == pytest.approx(of_dz.low, abs=1e-6)
    assert rows[0]["cohens_dz_high"] == pytest.approx(of_dz.high, abs=1e-6)


def test_the_sign_flip_test_of_few_patients_is_every_flip():
    gaps = np.array([0.3, 0.1, -0.05, 0.2, 0.15, 0.02])
    patients = list("abcdef")
    table = {"one": cases(gaps, patients), "two": cases(np.zeros(6), patients)}
    (row,) = paired_tests(table, ["dice"], draws=1000)
    means = [np.mean(gaps * signs) for signs in product([-1, 1], repeat=6)]
    expected = np.mean(np.abs(means) >= abs(gaps.mean()) - 1e-12)
    assert row["sign_flip_p"] == pytest.approx(expected, abs=1e-12)


def holm(p: list[float]) -> list[float]:
    """Holm's step-down, written out."""
    order, corrected, running = np.argsort(p), [0.0] * len(p), 0.0
    for step, index in enumerate(order):
        running = max(running, min(1.0, (len(p) - step) * p[index]))
        corrected[index] = running
    return corrected


@pytest.mark.parametrize("test", ["wilcoxon", "sign_flip"])
def test_holm_runs_over_all_pairs_and_all_scores(models, test):
    rows = paired_tests(models, ["dice", "hd95"], draws=500)
    assert len(rows) == 6
    expected = holm([row[f"{test}_p"] for row in rows])
    assert [row[f"{test}_p_holm"] for row in rows] == pytest.approx(expected, abs=1e-12)


def test_a_model_compared_with_itself_differs_by_nothing(models):
    same = {"one": models["one"], "copy": models["one"]}
    (row,) = paired_tests(same, ["dice"], draws=100)
    assert (row["difference"], row["difference_low"], row["difference_high"]) == (0, 0, 0)
    assert (row["wilcoxon_p"], row["sign_flip_p"], row["cohens_dz"]) == (1, 1, None)
    ranks = ranking(same, "dice", draws=100)
    assert ranks["rank"].tolist() == [1.5, 1.5]
    assert ranks["first_share"].tolist() == [1, 1]
    assert ranks["kendalls_tau"].isna().all()


def test_a_score_that_nobody_has_is_compared_as_nothing():
    nothing = {name: cases([np.nan, np.nan], ["P1", "P2"]) for name in ("one", "two")}
    (row,) = paired_tests(nothing, ["dice"], draws=100)
    assert row["n_patients"] == 0
    assert row["difference"] is row["wilcoxon_p"] is row["sign_flip_p_holm"] is None
    assert ranking(nothing, "dice", draws=100)["patient_mean"].isna().all()


def test_the_best_model_is_first_and_ranks_follow_the_draws(models):
    table = ranking(models, "dice", draws=500).set_index("model")
    assert table.index[0] == "better"
    assert table.loc["better", ["rank", "rank_low", "rank_high"]].tolist() == [1, 1, 1]
    assert table.loc["better", "first_share"] == pytest.approx(1, abs=0.02)
    assert table["patient_mean"].between(table["low"], table["high"]).all()
    values = patient_scores(models, "dice").to_numpy()
    drawn = [values[each].mean(axis=0) for each in np.random.default_rng(0).integers(0, 12, (500, 12))]
    ranks = stats.rankdata(-np.array(drawn), axis=1)
    assert table.loc[list(models), "rank_low"].tolist() == np.sort(ranks, axis=0)[12].tolist()
    assert table.loc[list(models), "rank_high"].tolist() == np.sort(ranks, axis=0)[487].tolist()
    taus = [stats.kendalltau(values.mean(axis=0), each).statistic for each in drawn]
    assert table["kendalls_tau"].tolist() == pytest.approx([np.mean(taus)] * 3, abs=1e-9)


def test_of_a_distance_the_smallest_is_best(models):
    assert (
        ranking(models, "hd95", draws=50)["model"].tolist()
        == ranking(models, "dice", draws=50)["model"].tolist()
    )
