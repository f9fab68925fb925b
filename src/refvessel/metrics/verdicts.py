"""What a paired test allows to be said."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from refvessel.metrics.power import LEVEL, fewest_patients


class Verdict(StrEnum):
    """What a paired test allows to be said of two models.

    SHOWN: one is better.
    BELOW_DETECTABLE: the difference is smaller than what these patients can show.
    NOT_SHOWN: it is not, and yet the corrected test does not reach the level.
    EQUAL: every patient has the same score.
    TOO_FEW: no difference could reach the level with so few patients and so many tests.
    """

    SHOWN = "shown"
    BELOW_DETECTABLE = "below_detectable"
    NOT_SHOWN = "not_shown"
    EQUAL = "equal"
    TOO_FEW = "too_few_patients"


def verdict(row: Mapping[str, Any], tests: int) -> Verdict:
    """The verdict of a row of `paired_tests`, of so many: that of the sign-flip test, corrected by Holm.

    It tests what is stated, the mean of the patients' differences.
    """
    if row["n_patients"] < fewest_patients(tests):
        return Verdict.TOO_FEW
    if row["sd"] == 0 and row["difference"] == 0:
        return Verdict.EQUAL
    if row["sign_flip_p_holm"] < LEVEL:
        return Verdict.SHOWN
    if abs(row["difference"]) < row["detectable_difference"]:
        return Verdict.BELOW_DETECTABLE
    return Verdict.NOT_SHOWN
