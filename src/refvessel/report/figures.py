"""Figures of the distribution of Dice, from the table of cases."""

import math
import textwrap
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from refvessel.answer_status import Status
from refvessel.report.drawing import ALARM, FAINT, INK, MOST_POINTS, PALETTE, TWO_COLUMNS, printed_figure
from refvessel.report.printing import printable, shortened

_MARKERS = "os^Dv"
_MAX_HEIGHT = 16.0
MOST_NAMED = 60  # of more patients each has a column without its name
_WORST_NAMED = 5  # of these
_SHORT_LABEL = 16  # characters; four of them fit side by side in the legend
_GOLDEN = 0.6180339887498949  # its multiples modulo 1 spread points evenly without chance


class _Look(NamedTuple):
    """Of the points of a group."""

    color: str
    marker: str


def draw_dice_by_phrase(cases: pd.DataFrame, path: Path) -> None:
    """One row per phrase, in their order: every expression's Dice, quartiles as a box, the mean as a diamond."""
    groups = [(str(phrase), group) for phrase, group in cases.groupby("phrase", sort=True)]
    with printed_figure(path, TWO_COLUMNS, _height(len(groups), 0.75)) as figure:
        axes = _dice_axes(figure.subplots(), len(groups), [_label(phrase, group) for phrase, group in groups])
        axes.invert_yaxis()
        for row, (_, group) in enumerate(groups):
            _draw_points(axes, group, row, spread=0.5, look=_Look(PALETTE[row % len(PALETTE)], "o"))
            dice = group["dice"].dropna()
            if dice.empty:
                continue
            axes.boxplot(
                [dice],
                positions=[row],
                orientation="horizontal",
                widths=0.62,
                showfliers=False,
                manage_ticks=False,
                medianprops={"color": INK, "linewidth": 1.4},
                boxprops={"color": INK, "linewidth": 0.8},
                whiskerprops={"color": INK, "linewidth": 0.8},
                capprops={"color": INK, "linewidth": 0.8},
            )
            axes.plot(dice.mean(), row, "D", color="white", markeredgecolor=INK, markersize=6, zorder=5)
        axes.set_xlabel("Dice of an expression")
        figure.legend(
            handles=[
                Line2D([], [], marker="o", linestyle="", color=PALETTE[0], alpha=0.6, label="expression"),
                Line2D([], [], marker="D", linestyle="", color="white", markeredgecolor=INK, label="mean"),
                _unanswered_handle(),
            ],
            loc="outside lower right",
            ncols=3,
        )


def draw_dice_by_patient(cases: pd.DataFrame, path: Path) -> None:
    """One row per patient, the worst mean below: expressions' Dice, coloured by phrase, the mean as a bar.

    More than MOST_NAMED are columns of one panel: the mean as a point, a line from the worst to the best.
    """
    means = cases.groupby("patient")["dice"].mean().sort_index().sort_values(kind="stable")
    if len(means) > MOST_NAMED:
        _draw_many_patients(cases, means.dropna(), path)
        return
    rows = {patient: row for row, patient in enumerate(means.index)}
    looks = {
        phrase: _Look(
            color=PALETTE[number % len(PALETTE)], marker=_MARKERS[number // len(PALETTE) % len(_MARKERS)]
        )
        for number, phrase in enumerate(sorted(cases["phrase"].unique()))
    }
    bar: dict[str, Any] = {
        "marker": "|",
        "color": INK,
        "linestyle": "",
        "markersize": 12,
        "markeredgewidth": 2.2,
    }
    handles = [
        *(
            Line2D(
                [], [], linestyle="", alpha=0.7, label=_shorten(phrase), color=look.color, marker=look.marker
            )
            for phrase, look in looks.items()
        ),
        Line2D([], [], label="mean", **bar),
        _unanswered_handle(),
    ]
    legend_columns = 4 if max(map(len, looks)) <= _SHORT_LABEL else 2
    legend_height = 0.2 * math.ceil(len(handles) / legend_columns)
    with printed_figure(path, TWO_COLUMNS, _height(len(means), 0.32) + legend_height) as figure:
        axes = _dice_axes(figure.subplots(), len(means), list(map(_shorten, means.index)))
        for (patient, phrase), group in cases.groupby(["patient", "phrase"]):
            _draw_points(axes, group, rows[patient], spread=0.3, look=looks[phrase])
        axes.plot(means, range(len(means)), zorder=5, **bar)
        axes.set_xlabel("Dice of an expression")
        axes.set_ylabel("Patient")
        figure.legend(handles=handles, loc="outside lower right", ncols=legend_columns)


def _draw_many_patients(cases: pd.DataFrame, means: pd.Series, path: Path) -> None:
    """`means` are those of the patients, ascending."""
    ends = cases.groupby("patient")["dice"].agg(["min", "max"]).loc[means.index]
    places = np.arange(1, len(means) + 1)
    with printed_figure(path, TWO_COLUMNS, 3.6) as figure:
        axes = figure.subplots()
        axes.vlines(places, ends["min"], ends["max"], color=FAINT, linewidth=min(1.5, 300 / len(means)))
        axes.scatter(
            places, means, s=min(14, 4000 / len(means)), color=PALETTE[0], rasterized=len(means) > MOST_POINTS
        )
        worst = [
            f"{_shorten(str(patient))}: {mean:.3f}" for patient, mean in means.head(_WORST_NAMED).items()
        ]
        named = "\n".join(["Worst means", *worst])
        axes.text(0.02, 0.98, named, transform=axes.transAxes, va="top", fontsize=7)
        axes.set_xlim(0, len(means) + 1)
        axes.set_ylim(-0.02, 1.02)
        axes.set_xlabel(f"{len(means)} patients, by their mean")
        axes.set_ylabel("Dice of a patient's expressions")
        axes.grid(axis="y")
        axes.set_axisbelow(True)


def _dice_axes(axes: Axes, rows: int, labels: list[str]) -> Axes:
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.6, rows - 0.4)
    axes.set_yticks(range(rows), labels)
    axes.tick_params(length=0)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    return axes


def _draw_points(axes: Axes, group: pd.DataFrame, row: int, spread: float, look: _Look) -> None:
    """The group's Dice around a row; expressions that failed or had no [SEG] are crosses."""
    group = group.dropna(subset="dice").sort_values(["dice", "sent_id"])
    heights = row + spread * ((np.arange(len(group)) * _GOLDEN) % 1 - 0.5)
    answered = (group["status"] == Status.OK).to_numpy()
    dice = group["dice"].to_numpy()
    axes.scatter(
        dice[answered],
        heights[answered],
        s=16,
        marker=look.marker,
        color=look.color,
        alpha=0.6,
        linewidths=0,
        rasterized=len(dice) > MOST_POINTS,
    )
    axes.scatter(dice[~answered], heights[~answered], s=26, marker="x", color=ALARM, linewidths=1.2, zorder=4)


def _unanswered_handle() -> Line2D:
    return Line2D([], [], marker="x", linestyle="", color=ALARM, label="failed or no [SEG]")


def _height(rows: int, row_height: float) -> float:
    return min(1.0 + row_height * rows, _MAX_HEIGHT)


def _label(phrase: str, group: pd.DataFrame) -> str:
    """The phrase and how many expressions are drawn: those whose Dice is defined."""
    drawn, n = group["dice"].count(), len(group)
    return f"{_wrap(phrase)}\nn = {n if drawn == n else f'{drawn} of {n}'}"


def _wrap(text: str) -> str:
    return "\n".join(textwrap.wrap(printable(text), 30, max_lines=3, placeholder=" …"))


def _shorten(text: str) -> str:
    return shortened(text, 36)
