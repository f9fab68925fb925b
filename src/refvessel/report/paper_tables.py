"""What the tables for papers hold: means over patients with their intervals, and which of them are really best.

A mean is bold where the comparison of the models tested this very mean, over the same expressions, and shows that
its model is better than every other one.
"""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from refvessel.metrics.policy import DISTANCES, UNBOUNDED
from refvessel.metrics.verdicts import Verdict
from refvessel.report.ceiling_words import TOLD
from refvessel.report.compared_models import Best, Comparison, best_shown
from refvessel.report.external_table import External
from refvessel.report.latex import Cell, Row, escaped, latex_table
from refvessel.report.score_titles import TITLES
from refvessel.report.sections import Artifacts

_MOST_SCORES = 3  # whose means and intervals fit a column
_WIDEST_HEADING = 12  # characters
_REFERRING = {"ciou": "cIoU", "giou": "gIoU", "pr_at_50": "Pr@0.5"}
_COUNTED = (
    "n: expressions, below them patients; of a score, expressions for which it is defined. Failed ones count as "
    "empty masks."
)
_BOLD = (
    "Bold: better than every other model on the same expressions, shown by paired sign-flip tests of the "
    "patients' means after Holm's correction over all tests of the split."
)
_UNDEFINED = "--"
_PLACE = ("dataset", "split")


def scores_in_print(comparisons: Sequence[Comparison]) -> tuple[str, ...]:
    """The scores that tables for papers show: the first of those that models are compared on."""
    stated = (score for one in comparisons for score in one.content["settings"]["scores"])
    return tuple(dict.fromkeys((*stated, *TOLD)))[:_MOST_SCORES]


def overall_in_print(
    evaluations: Sequence[Artifacts], comparisons: Sequence[Comparison], caption: str
) -> str:
    """The scores of each evaluation."""
    scores = scores_in_print(comparisons)
    rows = [
        Row(_overall_name(evaluations, one), _cells(one.summary, scores, _best(comparisons, one)))
        for one in evaluations
    ]
    told = _told(evaluations, comparisons, caption)
    return latex_table("Model", _headings(evaluations, scores), rows, caption=told, name="overall")


def groups_in_print(
    evaluations: Sequence[Artifacts],
    comparisons: Sequence[Comparison],
    column: str,
    heading: str,
    caption: str,
) -> str:
    """The scores of each group of each evaluation.

    Args:
        evaluations: Those of the report.
        comparisons: What says which scores are shown, and which means are bold.
        column: What the cases are grouped by, as in `by_COLUMN` of summary.json.
        heading: What the page calls that.
        caption: What the table is.
    """
    scores = scores_in_print(comparisons)
    groups = dict.fromkeys(group for one in evaluations for group in one.summary[f"by_{column}"])
    rows = [
        Row(
            ", ".join([str(group), *_told_apart(evaluations, one)]),
            _cells(summary, scores, _best(comparisons, one)),
        )
        for group in groups
        for one in evaluations
        if (summary := one.summary[f"by_{column}"].get(group)) is not None
    ]
    told = _told(evaluations, comparisons, caption)
    return latex_table(heading, _headings(evaluations, scores), rows, caption=told, name=f"by_{column}")


def referring_in_print(evaluations: Sequence[Artifacts], caption: str) -> str:
    """cIoU, gIoU and Pr@0.5 of each evaluation with their intervals."""
    rows = [
        Row(
            _overall_name(evaluations, one),
            [_n(one.summary), *(Cell(_estimate(one.summary, name)) for name in _REFERRING)],
        )
        for one in evaluations
    ]
    told = f"{_caption(evaluations, caption)} {_COUNTED}"
    return latex_table("Model", ["n", *_REFERRING.values()], rows, caption=told, name="referring")


def comparisons_in_print(comparisons: Sequence[Comparison], caption: str) -> str:
    """The difference of every two models with its interval and its corrected p value."""
    several = len(comparisons) > 1
    rows = [
        Row(
            f"{TITLES[row['score']]}: {row['first']} against {row['second']}"
            + (f", {one.dataset}, {one.split}" if several else ""),
            [
                _n(row),
                Cell(
                    _estimate(row, "difference", _decimals(row["score"])),
                    bold=row["verdict"] == Verdict.SHOWN,
                ),
                Cell((_p_value(row["sign_flip_p_holm"]),)),
            ],
        )
        for one in comparisons
        for row in one.content["tests"]
    ]
    place = (
        ""
        if several
        else f" (dataset {escaped(comparisons[0].dataset)}, split {escaped(comparisons[0].split)})"
    )
    confidence = _percent(comparisons[0].content["settings"]["bootstrap"]["confidence"])
    told = (
        f"{caption}{place}: difference of the means over patients, the first minus the second, and its "
        f"{confidence} interval below. p: two-sided, of a sign-flip test of the patients' differences after "
        "Holm's correction over all rows of a split; bold: the difference is shown. n: expressions, below them "
        "patients."
    )
    return latex_table("Compared", ["n", "Difference", "p"], rows, caption=told, name="comparisons")


def external_in_print(external: External, caption: str) -> str:
    """Each model on each data set, and how much worse it is there than on its own."""
    rows = [
        Row(
            f"{TITLES[row['score']]}: {row['model']} on {row['dataset']}, {row['split']}",
            [
                Cell((str(row["n_patients"]),)),
                Cell(_interval(row, ("patient_mean", "low", "high"), _decimals(row["score"]))),
                Cell(_interval(row, ("drop", "drop_low", "drop_high"), _decimals(row["score"]))),
            ],
        )
        for row in external.content["matrix"]
    ]
    told = (
        f"{caption}: mean over patients and drop from the model's own data set, each with its interval below."
    )
    return latex_table("Evaluated", ["Patients", "Mean", "Drop"], rows, caption=told, name="external")


def _cells(summary: Mapping[str, Any], scores: Sequence[str], best: Mapping[str, Best]) -> list[Cell]:
    return [_n(summary), *(_score(summary, score, best.get(score)) for score in scores)]


def _n(row: Mapping[str, Any]) -> Cell:
    failed = [f"{row['n_failed']} failed"] if row.get("n_failed") else []
    return Cell((str(row["n_expressions"]), f"({row['n_patients']})", *failed))


def _score(summary: Mapping[str, Any], score: str, best: Best | None) -> Cell:
    name = f"{score}_patient_mean"
    if name not in summary:  # the rows of other rasterisers have some of the scores
        return Cell((_UNDEFINED,))
    lines = _estimate(summary, name, _decimals(score))
    defined = summary[f"{score}_n"]
    if defined != summary["n_expressions"]:
        lines = (*lines, f"n = {defined}")
    if best is None or summary["n_expressions"] != best.n_expressions:
        return Cell(lines)
    return Cell(lines, bold=math.isclose(summary[name], best.patient_mean))


def _estimate(row: Mapping[str, Any], name: str, decimals: int = 3) -> tuple[str, ...]:
    return _interval(row, (name, f"{name}_low", f"{name}_high"), decimals)


def _interval(row: Mapping[str, Any], names: tuple[str, str, str], decimals: int) -> tuple[str, ...]:
    """A value and, below it, its interval where there is one."""
    value, low, high = (_number(row.get(name), decimals) for name in names)
    return (value,) if _UNDEFINED in (low, high) else (value, f"[{low}, {high}]")


def _number(value: float | None, decimals: int) -> str:
    if value is None or value != value:  # NaN differs from itself
        return _UNDEFINED
    return f"{value:.{decimals}f}".replace("-", "$-$")


def _p_value(value: float | None) -> str:
    return "$<$0.001" if value is not None and value < 0.001 else _number(value, 3)


def _decimals(score: str) -> int:
    return 1 if score in UNBOUNDED else 3


def _percent(share: float) -> str:
    return rf"{100 * share:g}\%"


def _headings(evaluations: Sequence[Artifacts], scores: Sequence[str]) -> list[str]:
    unit = evaluations[0].summary["settings"]["distance_unit"]
    titles = [f"{TITLES[score]} ({unit})" if score in DISTANCES else TITLES[score] for score in scores]
    return ["n", *(_stacked(title) for title in titles)]


def _stacked(title: str) -> str:
    lines = [escaped(line) for line in textwrap.wrap(title, _WIDEST_HEADING, break_long_words=False)]
    return lines[0] if len(lines) == 1 else r"\shortstack[r]{" + r"\\".join(lines) + "}"


def _told(evaluations: Sequence[Artifacts], comparisons: Sequence[Comparison], caption: str) -> str:
    """The caption of a table of scores."""
    told = f"{_caption(evaluations, f'{caption}, means over patients')} {_COUNTED}"
    return f"{told} {_BOLD}" if comparisons else told


def _caption(evaluations: Sequence[Artifacts], caption: str) -> str:
    shared = [(key, _values(evaluations, key)) for key in ("model", *_PLACE)]
    place = ", ".join(f"{key} {escaped(min(values))}" for key, values in shared if len(values) == 1)
    confidence = _percent(evaluations[0].summary["settings"]["bootstrap"]["confidence"])
    return f"{caption}{f' ({place})' if place else ''}, with {confidence} intervals below."


def _overall_name(evaluations: Sequence[Artifacts], one: Artifacts) -> str:
    apart = _told_apart(evaluations, one)
    return ", ".join(apart if one.evaluation.model in apart[:1] else [one.evaluation.model, *apart])


def _told_apart(evaluations: Sequence[Artifacts], one: Artifacts) -> list[str]:
    """What tells an evaluation from the others of the table."""
    return [getattr(one.evaluation, key) for key in ("model", *_PLACE) if len(_values(evaluations, key)) > 1]


def _values(evaluations: Sequence[Artifacts], key: str) -> set[str]:
    return {getattr(one.evaluation, key) for one in evaluations}


def _best(comparisons: Sequence[Comparison], one: Artifacts) -> dict[str, Best]:
    """Score -> what an evaluation's model is shown to be best by."""
    return {
        score: best
        for comparison in comparisons
        if (comparison.dataset, comparison.split) == (one.evaluation.dataset, one.evaluation.split)
        for score, best in best_shown(comparison).items()
        if best.model == one.evaluation.model
    }
