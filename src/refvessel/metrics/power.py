"""What a number of patients can show: the smallest detectable difference, and the patients that one needs.

The test is the paired t test of the patients' differences, two-sided at 5%, with 80% power: with effect d = mean
difference / standard deviation of the differences and n patients, the statistic has a noncentral t distribution of
n - 1 degrees of freedom and noncentrality d * sqrt(n) (Cohen, Statistical Power Analysis, 1988, chapter 2;
`statsmodels.stats.power.TTestPower`). The normal approximation, (1.96 + 0.84) * sd / sqrt(n), is too small for few
patients: of ten published pairs with a standard deviation of .0085 it would make .0075 instead of .0085. The
sign-flip test has the same power from ten patients on (benchmarks/power_simulation.py).

With fewer, the signs can be flipped in so few ways that its p is rarely just below 5%: of six patients it rejects
where all differences have one sign, 3.1%, and in no other case. There the effect is its own, of simulated studies.
With fewer than six no difference reaches 5%: the signs can be flipped in fewer than 40 ways.

All of it is of one test; Holm's correction over several asks for more, of nine tests for nine patients.
"""

from functools import cache
from math import ceil, floor, isnan, log2

import numpy as np
from scipy import stats
from statsmodels.stats.power import TTestPower

LEVEL = 0.05  # of a two-sided test
POWER = 0.8
FEWEST_PATIENTS = 6  # that can reach the level: 2 of their 2^6 sign flips are as extreme as all of one sign

# Mean difference / standard deviation that sign flips find in 80% of a million studies of so many patients.
_OF_SIGN_FLIPS = {6: 1.791, 7: 1.332, 8: 1.190, 9: 1.090}
_TEST = TTestPower()
_SAME = 1e-12  # differences within are those of rounding


def detectable_difference(sd: float, patients: int) -> float:
    """The smallest mean difference that a study finds with 80% power; NaN for fewer than six patients.

    `sd` is the standard deviation of the patients' differences, in the unit of the score.
    """
    if patients < FEWEST_PATIENTS or isnan(sd):
        return np.nan
    return _detectable_effect(patients) * sd


def patients_needed(difference: float, sd: float) -> int | None:
    """The fewest patients, six at least, that show such a difference with 80% power; None where none suffice.

    `sd` is the standard deviation of the patients' differences, in the unit of the score. None, too, where
    either is undefined.
    """
    if isnan(difference) or isnan(sd) or abs(difference) <= _SAME:
        return None
    effect = abs(difference) / max(sd, _SAME)
    # Never fewer than the normal approximation asks for, and for small effects two more at most.
    quantiles = float(stats.norm.ppf(1 - LEVEL / 2) + stats.norm.ppf(POWER))
    patients = max(FEWEST_PATIENTS, ceil((quantiles / effect) ** 2))
    while not _is_found(effect, patients):
        patients += 1
    return patients


def fewest_patients(tests: int) -> int:
    """The fewest patients of whom one of so many tests can reach the level after Holm's correction.

    Two of their 2^n sign flips are as extreme as differences that are all of one sign: no p is below 2 / 2^n.
    """
    return max(FEWEST_PATIENTS, floor(log2(2 * tests / LEVEL)) + 1)


def standard_deviation(differences: np.ndarray) -> float:
    """Of the patients' differences, float64 of shape (patients,); NaN of fewer than two, 0 of equal ones."""
    if len(differences) < 2:
        return np.nan
    sd = float(differences.std(ddof=1))
    return 0.0 if sd <= _SAME else sd


@cache
def _detectable_effect(patients: int) -> float:
    if patients in _OF_SIGN_FLIPS:
        return _OF_SIGN_FLIPS[patients]
    return float(_TEST.solve_power(nobs=patients, alpha=LEVEL, power=POWER, alternative="two-sided"))


def _is_found(effect: float, patients: int) -> bool:
    """Whether so many patients show an effect with 80% power; they may be more than can be solved for."""
    if patients in _OF_SIGN_FLIPS:
        return effect >= _OF_SIGN_FLIPS[patients]
    power = float(_TEST.power(effect, patients, LEVEL, alternative="two-sided"))
    return isnan(power) or power >= POWER  # NaN: too far out for the distribution's series
