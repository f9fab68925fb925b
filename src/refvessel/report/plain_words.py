"""What comparisons say, in sentences for readers who are no statisticians."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from refvessel.metrics.policy import ERRORS
from refvessel.metrics.power import LEVEL, fewest_patients
from refvessel.metrics.verdicts import Verdict
from refvessel.report.score_titles import worded_title
from refvessel.report.wording import listed, worded, worded_n


def verdict_sentences(comparison: Mapping[str, Any]) -> list[str]:
    """One sentence or more for each paired test of a comparison.json that has patients."""
    tests = [row for row in comparison["tests"] if row["verdict"] is not None]
    return [verdict_sentence(row, len(tests)) for row in tests]


def verdict_sentence(row: Mapping[str, Any], tests: int) -> str:
    """What a row of `paired_tests`, of so many tests in all, allows to be said."""
    n, title = row["n_patients"], worded_title(row["score"])
    pair = listed([row["first"], row["second"]])
    if row["verdict"] == Verdict.TOO_FEW:
        return worded(
            "%(pair)s, %(score)s: %(patients)s cannot show any difference; %(fewest)s are the fewest with which "
            "%(a_test)s can reach %(level)s.",
            pair=pair,
            score=title,
            patients=worded_n("%(n)s patient", "%(n)s patients", n),
            fewest=fewest_patients(tests),
            a_test=worded_n("a test", "one of %(n)s tests", tests),
            level=f"{LEVEL:.0%}",
        )
    if row["verdict"] == Verdict.EQUAL:
        return worded(
            "%(pair)s have the same %(score)s in each of these %(n)s patients.", pair=pair, score=title, n=n
        )
    difference, detectable = amount(row["difference"]), amount(row["detectable_difference"])
    if row["verdict"] == Verdict.SHOWN:
        better, worse = _better(row)
        text = worded(
            "%(better)s is better than %(worse)s by %(difference)s %(score)s (95%% interval %(interval)s): "
            "these %(n)s patients show it (p %(p)s after correction for %(tests)s).",
            better=better,
            worse=worse,
            difference=difference,
            score=title,
            interval=_interval(row),
            n=n,
            p=_p(row["sign_flip_p_holm"]),
            tests=_tests(tests),
        )
        if abs(row["difference"]) < row["detectable_difference"]:
            text += " " + worded(
                "It is less than what %(n)s patients show reliably (%(detectable)s): the next %(n)s may not.",
                n=n,
                detectable=detectable,
            )
        return text
    if row["verdict"] == Verdict.BELOW_DETECTABLE:
        text = worded(
            "The difference of %(difference)s %(score)s between %(pair)s is smaller than what these %(n)s "
            "patients can show (%(detectable)s): it may be chance.",
            difference=difference,
            score=title,
            pair=pair,
            n=n,
            detectable=detectable,
        )
    else:
        text = worded(
            "The difference of %(difference)s %(score)s between %(pair)s is not shown: after correction for "
            "%(tests)s chance is not ruled out (p %(p)s).",
            difference=difference,
            score=title,
            pair=pair,
            tests=_tests(tests),
            p=_p(row["sign_flip_p_holm"]),
        )
    needed = row["patients_needed"]
    if needed is None:
        return text
    many = f"{needed:,}"
    return text + " " + worded("To show it would take about %(n)s patients.", n=many)


def non_inferiority_sentences(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """One sentence for each pair that was tested for a margin."""
    return [_non_inferiority_sentence(row) for row in rows]


def _non_inferiority_sentence(row: Mapping[str, Any]) -> str:
    first, second, n = row["first"], row["second"], row["n_patients"]
    margin = f"{row['margin']:g} {worded_title(row['score'])}"
    if row["low"] is None:
        return worded(
            "Whether %(pair)s are equally good within %(margin)s cannot be said of %(n)s patients.",
            pair=listed([first, second]),
            margin=margin,
            n=n,
        )
    seen = worded(
        "(90%% interval of the difference %(low)s to %(high)s, %(n)s patients)",
        low=_signed(row["low"]),
        high=_signed(row["high"]),
        n=n,
    )
    if row["equivalent"]:
        return worded(
            "%(pair)s are equally good within the declared margin of %(margin)s %(seen)s.",
            pair=listed([first, second]),
            margin=margin,
            seen=seen,
        )
    for one, other, claim in ((first, second, "first"), (second, first, "second")):
        if row[f"{claim}_not_inferior"]:
            return worded(
                "%(one)s is not worse than %(other)s by the declared margin of %(margin)s; the reverse is not "
                "shown %(seen)s.",
                one=one,
                other=other,
                margin=margin,
                seen=seen,
            )
    return worded(
        "That %(pair)s are equally good within the margin of %(margin)s is not shown %(seen)s.",
        pair=listed([first, second]),
        margin=margin,
        seen=seen,
    )


def amount(value: float) -> str:
    """The size of a difference: three decimals, or as many as show two digits of it."""
    size = abs(value)
    decimals = 3 if size >= 0.01 or size == 0 else min(12, 1 - math.floor(math.log10(size)))
    return f"{size:.{decimals}f}"


def _tests(tests: int) -> str:
    return worded_n("%(n)s test", "%(n)s tests", tests)


def _signed(value: float) -> str:
    return f"\N{MINUS SIGN}{amount(value)}" if value < 0 else amount(value)


def _better(row: Mapping[str, Any]) -> tuple[str, str]:
    """The better model and the other."""
    first_is = (row["difference"] > 0) != (row["score"] in ERRORS)
    return (row["first"], row["second"]) if first_is else (row["second"], row["first"])


def _interval(row: Mapping[str, Any]) -> str:
    """Of the better one's advantage: both ends have the sign of the difference, or one crosses zero."""
    sign = 1 if row["difference"] > 0 else -1
    low, high = sorted((sign * row["difference_low"], sign * row["difference_high"]))
    return worded("%(low)s to %(high)s", low=_signed(low), high=_signed(high))


def _p(value: float) -> str:
    return worded("below 0.001") if value < 0.001 else f"= {value:.3f}"
