"""From the scores of frames to the numbers that the official scripts of video benchmarks give."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from refvessel.evaluation.official_video_files import OVERALL, AskedExpression, Benchmark, official_key
from refvessel.metrics.official_frames import PLAIN

_DIGITS = 2  # of a percentage, as the official scripts round

Means = dict[str, float | None]


@dataclass(frozen=True)
class ScoredExpression:
    """An expression's frames, scored: tables of `frame_scores`.

    frames: in the listed order.
    as_stored: in the order of the predictions' file, which the official script takes for the listed one.
    """

    expression: AskedExpression
    frames: pd.DataFrame
    as_stored: pd.DataFrame


def video_numbers(
    scored: Sequence[ScoredExpression], benchmark: Benchmark, *, with_foreground: bool
) -> dict[str, Any]:
    """The numbers of `score_video`, without R where there is no foreground."""
    scores = [name for name in benchmark.scores if name != "R" or with_foreground]
    of_expression = [each.frames[scores].mean() for each in scored]
    plain = [each.frames[[PLAIN[name] for name in scores]].mean().set_axis(scores) for each in scored]
    types = [each.expression.expression.type_id for each in scored]
    unrounded = _totals(of_expression, types, benchmark, scores)
    result: dict[str, Any] = {
        **_overall(unrounded, benchmark),
        "printed": _printed(scored, benchmark, scores),
    }
    if benchmark.types:
        result["unrounded"] = unrounded
        result["rows"] = [_row(each, scores) for each in scored]
    result["per_expression"] = _nested(scored, [_fractions(means) for means in of_expression])
    result["per_frame"] = _nested(scored, [each.frames[scores].to_dict("list") for each in scored])
    if any(not np.array_equal(one, other) for one, other in zip(of_expression, plain, strict=True)):
        totals = _totals(plain, types, benchmark, scores)
        result["plain_definition"] = {
            **_overall(totals, benchmark),
            "per_expression": _nested(scored, [_fractions(means) for means in plain]),
        }
    return result


def _overall(totals: dict[str, Any], benchmark: Benchmark) -> Means:
    overall: Means = totals[OVERALL] if benchmark.types else totals
    return overall


def _fractions(means: "pd.Series[float]") -> Means:
    """An expression's scores with the mean of J and F."""
    return _with_both({str(name): float(value) for name, value in means.items()})


def _nested(scored: Sequence[ScoredExpression], values: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """The values by video and expression."""
    nested: dict[str, dict[str, Any]] = {}
    for each, value in zip(scored, values, strict=True):
        nested.setdefault(each.expression.video.name, {})[each.expression.expression.id] = value
    return nested


def _totals(
    rows: Sequence[Any], types: Sequence[int | None], benchmark: Benchmark, scores: Sequence[str]
) -> dict[str, Any]:
    """Means in percent over the expressions, of fractions; of a benchmark with types, of each and overall."""
    percent = [{name: 100 * row[name] for name in scores} for row in rows]
    return _grouped(percent, types, benchmark, scores)


def _grouped(
    rows: Sequence[Mapping[str, float]],
    types: Sequence[int | None],
    benchmark: Benchmark,
    scores: Sequence[str],
) -> dict[str, Any]:
    """Means of rows, in their unit: of all, or of each type and, as the mean of the types' means, overall.

    An expression of another type is in no mean. J&F is the mean of the two means. None: of no row.
    """
    if not benchmark.types:
        return _with_both(_means(rows, scores))
    means = {
        name: _means([row for row, type_id in zip(rows, types, strict=True) if type_id == number], scores)
        for number, name in benchmark.types.items()
    }
    overall = _means(list(means.values()), scores)
    return {name: _with_both(each) for name, each in {**means, OVERALL: overall}.items()}


def _means(rows: Sequence[Mapping[str, float | None]], scores: Sequence[str]) -> Means:
    columns = {name: [row[name] for row in rows] for name in scores}
    return {name: _mean(values) for name, values in columns.items()}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def _with_both(means: Means) -> Means:
    j, f = means["J"], means["F"]
    return {**means, "J&F": None if j is None or f is None else (j + f) / 2}


def _printed(
    scored: Sequence[ScoredExpression], benchmark: Benchmark, scores: Sequence[str]
) -> dict[str, Any]:
    """What the official script writes for the expressions that it can score, in percent, in its own form.

    DAVIS and MeViS round once, at the end, by Python; ReVOS and Ref-SAV each expression, by NumPy, and the
    means of these no more. NaN, which they write for a type without expressions, is null here.
    """
    kept = list({official_key(each.expression): each for each in scored}.values())
    if not benchmark.types:
        means = _totals([each.as_stored[scores].mean() for each in kept], [], benchmark, scores)
        return {name: round(value, _DIGITS) for name, value in means.items()}
    rows = [_row(each, scores) for each in kept]
    groups = _grouped(rows, [row["type_id"] for row in rows], benchmark, scores)
    return {
        group: {{"J&F": "JF"}.get(name, name): value for name, value in means.items()}
        for group, means in groups.items()
    }


def _row(scored: ScoredExpression, scores: Sequence[str]) -> dict[str, Any]:
    """A line of the official table: percentages with two decimals."""
    means, expression = scored.as_stored[scores].mean(), scored.expression
    percent = {**means, "JF": (means["J"] + means["F"]) / 2}
    return {
        "video_name": expression.video.name,
        "exp_id": expression.expression.id,
        "exp": expression.expression.text,
        "videxp": official_key(expression),
        **{str(name): float(np.round(100 * value, _DIGITS)) for name, value in percent.items()},
        "type_id": expression.expression.type_id,
    }
