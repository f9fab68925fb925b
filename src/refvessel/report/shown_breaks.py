"""The breaks of an evaluation, as the report lists and marks them."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from refvessel.metrics.breaks import GAP, LOST
from refvessel.report.drawing import ALARM
from refvessel.report.sections import Artifacts
from refvessel.report.wording import worded_n

WORST_SHOWN = 10
_MARKERS: dict[str, dict[str, Any]] = {
    kind: {"marker": marker, "color": ALARM, "markersize": 6, "markeredgewidth": 1.1, "linestyle": ""}
    | {"fillstyle": "none"}
    for kind, marker in ((GAP, "o"), (LOST, "s"))
}


def worst_first(breaks: pd.DataFrame) -> pd.DataFrame:
    """The breaks by the length lost behind them, the longest first; of equal ones the smaller sent_id."""
    return breaks.sort_values(
        ["length_lost", "sent_id", "row", "column"], ascending=[False, True, True, True]
    )


def listed_breaks(one: Artifacts) -> list[dict[str, Any]]:
    """What the page says of the worst breaks of an evaluation."""
    worst = worst_first(one.breaks).head(WORST_SHOWN).to_dict("records")
    return [{str(name): value for name, value in each.items()} for each in worst]


def mark_breaks(axes: Axes, breaks: pd.DataFrame) -> None:
    """A ring at each gap of a drawn case, a square where something is lost."""
    for kind, look in _MARKERS.items():
        places = breaks[breaks["kind"] == kind]
        axes.plot(places["column"], places["row"], **look)


def break_handles(breaks: pd.DataFrame) -> list[Line2D]:
    """What a legend says of these marks."""
    labels = {GAP: "gap", LOST: "lost vessel"}
    kinds = set(breaks["kind"])
    return [Line2D([], [], label=labels[kind], **look) for kind, look in _MARKERS.items() if kind in kinds]


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
