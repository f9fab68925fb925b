"""What patients can show, against the closed form of the noncentral t and against simulation."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.power import tt_solve_power

from refvessel.metrics.clustering import design_effect, intraclass_correlation
from refvessel.metrics.power import (
    detectable_difference,
    fewest_patients,
    patients_needed,
    standard_deviation,
)
from refvessel.metrics.verdicts import Verdict, verdict


def power_of(effect: float, patients: int) -> float:
    """Of a paired t test, two-sided at 5%, written out."""
    critical, shift = stats.t.ppf(0.975, patients - 1), effect * np.sqrt(patients)
    return stats.nct.sf(critical, patients - 1, shift) + stats.nct.cdf(-critical, patients - 1, shift)


@pytest.mark.parametrize("patients", [10, 41, 1000])
def test_the_detectable_difference_is_found_in_four_of_five_studies(patients):
    assert power_of(detectable_difference(0.03, patients) / 0.03, patients) == pytest.approx(0.8, abs=1e-4)


@pytest.mark.parametrize("patients", [6, 7, 8, 9])
def test_sign_flips_of_few_patients_find_it_in_four_of_five_simulated_studies(patients):
    from refvessel.metrics.comparison import sign_flip_test

    random = np.random.default_rng(patients)
    studies = random.normal(detectable_difference(1.0, patients), 1.0, (patients, 40_000))
    assert (sign_flip_test(studies, 2**patients) < 0.05).mean() == pytest.approx(0.8, abs=0.006)


def test_fewer_patients_are_needed_for_larger_differences_down_to_six():
    needed = [patients_needed(effect, 1.0) for effect in np.arange(0.8, 2, 0.01)]
    assert needed == sorted(needed, reverse=True)
    assert {*needed} == {15, 14, 13, 12, 11, 10, 9, 8, 7, 6}
    for patients in range(6, 15):
        known = detectable_difference(1.0, patients)
        assert (patients_needed(known + 1e-3, 1.0), patients_needed(known - 1e-3, 1.0)) == (
            patients,
            patients + 1,
        )


@pytest.mark.parametrize("effect", [0.02, 0.1, 0.3, 0.7])
def test_one_patient_less_than_needed_is_too_few(effect):
    needed = patients_needed(-effect * 0.05, 0.05)
    assert power_of(effect, needed) >= 0.8 > power_of(effect, needed - 1)
    assert needed == np.ceil(tt_solve_power(effect, alpha=0.05, power=0.8))


def test_the_published_pairs_are_reproduced():
    """Ten pairs of a fine-tuning of Sa2VA, .8191 and .8259: a gain of .0070 with a standard deviation of .0085."""
    assert detectable_difference(0.0085, 10) == pytest.approx(0.0085, abs=5e-5)
    assert patients_needed(0.0002, 0.0085) == pytest.approx(14_000, rel=0.02)


def test_what_cannot_be_said_is_said_so():
    assert np.isnan(detectable_difference(standard_deviation(np.array([0.1])), 1))
    assert np.isnan(detectable_difference(0.1, 5))
    assert patients_needed(0.0, 0.1) is None
    assert patients_needed(0.1, np.nan) is None
    assert patients_needed(0.1, 0.0) == patients_needed(5.0, 0.001) == 6
    assert patients_needed(1e-7, 0.1) > 10**12


def test_the_intraclass_correlation_is_that_of_an_analysis_of_variance():
    random = np.random.default_rng(2)
    patients = np.repeat(np.arange(30), random.integers(1, 9, 30))
    values = random.normal(0, 0.06, 30)[patients] + random.normal(0, 0.04, len(patients))
    groups = [values[patients == each] for each in range(30)]
    f = stats.f_oneway(*groups).statistic
    sizes = np.bincount(patients)
    typical = (len(values) - (sizes**2).sum() / len(values)) / 29
    assert intraclass_correlation(values, patients) == pytest.approx((f - 1) / (f - 1 + typical), abs=1e-12)


def test_the_intraclass_correlation_of_many_patients_is_the_share_between_them():
    random = np.random.default_rng(3)
    patients = np.repeat(np.arange(4000), 5)
    values = random.normal(0, 0.6, 4000)[patients] + random.normal(0, 0.8, 20_000)
    found = intraclass_correlation(values, patients)
    assert found == pytest.approx(0.36, abs=0.02)
    means = values.reshape(-1, 5).mean(axis=1)
    # By the definition: the variance of the mean over that of as many independent expressions.
    expected = (means.var(ddof=1) / 4000) / (values.var(ddof=1) / 20_000)
    assert design_effect(found, 20_000, 4000) == pytest.approx(expected, rel=0.01)


def test_one_expression_per_patient_has_no_correlation_and_no_design_effect():
    icc = intraclass_correlation(np.array([0.1, 0.2, 0.4]), np.array(["a", "b", "c"]))
    assert np.isnan(icc)
    assert design_effect(icc, 3, 3) == 1


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"n_patients": 5}, Verdict.TOO_FEW),
        ({"difference": 0.0, "sd": 0.0}, Verdict.EQUAL),
        ({"sign_flip_p_holm": 0.049}, Verdict.SHOWN),
        ({}, Verdict.BELOW_DETECTABLE),
        ({"difference": -0.03}, Verdict.NOT_SHOWN),
    ],
)
def test_a_verdict_follows_the_test_and_then_the_detectable_difference(row, expected):
    usual = {"n_patients": 12, "difference": 0.01, "sd": 0.02, "detectable_difference": 0.02}
    assert verdict(usual | {"sign_flip_p_holm": 0.05} | row, tests=1) is expected


@pytest.mark.parametrize("tests", [1, 2, 9, 30])
def test_with_fewer_patients_no_difference_can_be_shown_in_so_many_tests(tests):
    from refvessel.metrics.comparison import sign_flip_test

    fewest = fewest_patients(tests)
    smallest = [sign_flip_test(np.arange(1.0, n + 1)[:, None], 1 << n)[0] for n in (fewest - 1, fewest)]
    assert smallest[0] * tests >= 0.05 > smallest[1] * tests


def test_a_difference_as_small_as_is_detectable_is_found_in_four_of_five_simulated_studies():
    """By sign flips, of twelve patients with five frames each; the benchmark has more designs and runs."""
    from refvessel.metrics.comparison import paired_tests

    random, runs = np.random.default_rng(4), 150
    patient = np.repeat(np.arange(12), 5)
    known = detectable_difference(0.03 * np.sqrt(0.5 + 0.5 / 5), 12)
    gaps = random.normal(known, 0.03 * np.sqrt(0.5), (12, runs))[patient]
    gaps += random.normal(0, 0.03 * np.sqrt(0.5), gaps.shape)
    first, second = (pd.DataFrame(each).assign(patient=patient) for each in (gaps, np.zeros(gaps.shape)))
    rows = pd.DataFrame(paired_tests({"first": first, "second": second}, list(range(runs)), 1000))
    assert 0.7 < (rows["sign_flip_p"] < 0.05).mean() < 0.9
    assert rows["detectable_difference"].median() == pytest.approx(known, rel=0.1)


def test_the_command_prints_and_writes_what_ten_numbers_say(tmp_path, capsys):
    from refvessel.cli.power_command import power

    ten = np.array([-1.3, 0.6, -0.2, 1.9, -0.8, 0.4, -1.1, 1.2, 0.1, -0.8])
    ten = 0.0070 + 0.0085 * (ten - ten.mean()) / ten.std(ddof=1)
    power(differences=",".join(map(str, ten)), difference=0.0002, output=tmp_path / "power.json")
    written = json.loads((tmp_path / "power.json").read_text("utf-8"))
    assert written["patients"] == 10
    assert written["sd"] == pytest.approx(0.0085)
    assert written["detectable_difference"] == pytest.approx(0.0085, abs=5e-5)
    assert written["patients_needed"] == pytest.approx(14_000, rel=0.02)
    assert "needs 14,179 patients" in capsys.readouterr().out
