"""What comparisons say, in sentences for readers who are no statisticians."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from refvessel.metrics.policy import ERRORS
from refvessel.metrics.power import LEVEL, fewest_patients
from refvessel.metrics.verdicts import Verdict
from refvessel.report.score_titles import TITLES


def verdict_sentences(comparison: Mapping[str, Any]) -> list[str]:
    """One sentence or more for each paired test of a comparison.json that has patients."""
    tests = [row for row in comparison["tests"] if row["verdict"] is not None]
    return [verdict_sentence(row, len(tests)) for row in tests]


def verdict_sentence(row: Mapping[str, Any], tests: int) -> str:
    """What a row of `paired_tests`, of so many tests in all, allows to be said."""
    n, title = row["n_patients"], TITLES[row["score"]]
    pair = f"{row['first']} and {row['second']}"
    if row["verdict"] == Verdict.TOO_FEW:
        return (
            f"{pair}, {title}: {n} {'patient' if n == 1 else 'patients'} cannot show any difference; "
            f"{fewest_patients(tests)} are the fewest with which {_one_of(tests)} can reach {LEVEL:.0%}."
        )
    if row["verdict"] == Verdict.EQUAL:
        return f"{pair} have the same {title} in each of these {n} patients."
    difference, detectable = amount(row["difference"]), amount(row["detectable_difference"])
    if row["verdict"] == Verdict.SHOWN:
        text = (
            f"{_better(row)} by {difference} {title} (95% interval {_interval(row)}): these {n} patients show it "
            f"(p {_p(row['sign_flip_p_holm'])} after correction for {tests} {'test' if tests == 1 else 'tests'})."
        )
        if abs(row["difference"]) < row["detectable_difference"]:
            text += f" It is less than what {n} patients show reliably ({detectable}): the next {n} may not."
        return text
    between = f"The difference of {difference} {title} between {pair}"
    if row["verdict"] == Verdict.BELOW_DETECTABLE:
        text = f"{between} is smaller than what these {n} patients can show ({detectable}): it may be chance."
    else:
        text = (
            f"{between} is not shown: after correction for {tests} {'test' if tests == 1 else 'tests'} chance is "
            f"not ruled out (p {_p(row['sign_flip_p_holm'])})."
        )
    needed = row["patients_needed"]
    return text if needed is None else f"{text} To show it would take about {needed:,} patients."


def non_inferiority_sentences(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """One sentence for each pair that was tested for a margin."""
    return [_non_inferiority_sentence(row) for row in rows]


def _non_inferiority_sentence(row: Mapping[str, Any]) -> str:
    first, second, n = row["first"], row["second"], row["n_patients"]
    margin = f"{row['margin']:g} {TITLES[row['score']]}"
    if row["low"] is None:
        return (
            f"Whether {first} and {second} are equally good within {margin} cannot be said of {n} patients."
        )
    seen = f"(90% interval of the difference {_signed(row['low'])} to {_signed(row['high'])}, {n} patients)"
    if row["equivalent"]:
        return f"{first} and {second} are equally good within the declared margin of {margin} {seen}."
    for one, other, claim in ((first, second, "first"), (second, first, "second")):
        if row[f"{claim}_not_inferior"]:
            text = f"{one} is not worse than {other} by the declared margin of {margin}"
            return f"{text}; the reverse is not shown {seen}."
    return f"That {first} and {second} are equally good within the margin of {margin} is not shown {seen}."


def amount(value: float) -> str:
    """The size of a difference: three decimals, or as many as show two digits of it."""
    size = abs(value)
    decimals = 3 if size >= 0.01 or size == 0 else min(12, 1 - math.floor(math.log10(size)))
    return f"{size:.{decimals}f}"


def _one_of(tests: int) -> str:
    return "a test" if tests == 1 else f"one of {tests} tests"


def _signed(value: float) -> str:
    return f"\N{MINUS SIGN}{amount(value)}" if value < 0 else amount(value)


def _better(row: Mapping[str, Any]) -> str:
    better = (row["difference"] > 0) != (row["score"] in ERRORS)
    first, second = row["first"], row["second"]
    return f"{first} is better than {second}" if better else f"{second} is better than {first}"


def _interval(row: Mapping[str, Any]) -> str:
    """Of the better one's advantage: both ends have the sign of the difference, or one crosses zero."""
    sign = 1 if row["difference"] > 0 else -1
    low, high = sorted((sign * row["difference_low"], sign * row["difference_high"]))
    return f"{_signed(low)} to {_signed(high)}"


def _p(value: float) -> str:
    return "below 0.001" if value < 0.001 else f"= {value:.3f}"
