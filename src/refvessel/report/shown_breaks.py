"""The breaks of an evaluation, as the report lists and marks them."""

from typing import Any

import pandas as pd

from refvessel.metrics.breaks import GAP, LOST
from refvessel.report.drawing import ALARM
from refvessel.report.panels import Key, Mark, Shape
from refvessel.report.sections import Artifacts
from refvessel.report.wording import worded_n

WORST_SHOWN = 10
_SHAPES: dict[str, Shape] = {GAP: "ring", LOST: "square"}


def worst_first(breaks: pd.DataFrame) -> pd.DataFrame:
    """The breaks by the length lost behind them, the longest first; of equal ones the smaller sent_id."""
    return breaks.sort_values(
        ["length_lost", "sent_id", "row", "column"], ascending=[False, True, True, True]
    )


def listed_breaks(one: Artifacts) -> list[dict[str, Any]]:
    """What the page says of the worst breaks of an evaluation."""
    worst = worst_first(one.breaks).head(WORST_SHOWN).to_dict("records")
    return [{str(name): value for name, value in each.items()} for each in worst]


def break_marks(breaks: pd.DataFrame) -> list[Mark]:
    """A ring at each gap of a drawn case, a square where something is lost."""
    places = zip(breaks["kind"], breaks["row"], breaks["column"], strict=True)
    return [Mark(_SHAPES[kind], row, column, ALARM) for kind, row, column in places]


def break_keys(breaks: pd.DataFrame) -> list[Key]:
    """What a legend says of these marks."""
    labels = {GAP: "gap", LOST: "lost vessel"}
    kinds = set(breaks["kind"])
    return [Key(labels[kind], ALARM, shape) for kind, shape in _SHAPES.items() if kind in kinds]


def told_breaks(breaks: pd.DataFrame) -> str:
    """How many breaks a case has and what the worst loses, for a caption; nothing where there is none."""
    if breaks.empty:
        return ""
    worst = worst_first(breaks).iloc[0]
    return " " + worded_n(
        "%(n)s break, behind the worst %(lost).0f px of vessel.",
        "%(n)s breaks, behind the worst %(lost).0f px of vessel.",
        len(breaks),
        lost=worst["length_lost"],
    )
