"""Scores of subgroups and of vessels of each calibre, each with its interval."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from refvessel.metrics.calibre import CALIBRE_PRECISION, CALIBRE_RECALL
from refvessel.report.drawing import INK, MOST_POINTS, PALETTE, TWO_COLUMNS, printed_figure
from refvessel.report.group_words import GROUPINGS
from refvessel.report.printing import shortened

MOST_GROUPS = 8  # of a grouping, those with the most expressions

_ROW = 0.21  # inches
_LABEL = 40  # characters
_CALIBRES = {"Recall": (CALIBRE_RECALL, "o"), "Precision": (CALIBRE_PRECISION, "s")}


def draw_subgroups(summary: Mapping[str, Any], path: Path) -> None:
    """Dice of each subgroup, the mean over its patients with its interval, as a forest plot.

    `summary` is what summary.json says.
    """
    rows = list(_rows(summary))
    with printed_figure(path, TWO_COLUMNS, 0.9 + _ROW * len(rows)) as figure:
        axes = figure.subplots()
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_yticks(range(len(rows)), [label for label, _ in rows])
        for tick, (_, group) in zip(axes.get_yticklabels(), rows, strict=True):
            tick.set_fontweight("bold" if group is None else "normal")
        numbers = axes.twinx()
        numbers.set_ylim(axes.get_ylim())
        numbers.set_yticks(
            [number for number, (_, group) in enumerate(rows) if group],
            [_counted(group) for _, group in rows if group],
        )
        for number, (_, group) in enumerate(rows):
            if group and group["dice_patient_mean"] is not None:
                _draw_mean(axes, "dice_patient_mean", group, number)
        if summary["dice_patient_mean"] is not None:
            axes.axvline(summary["dice_patient_mean"], color=INK, linewidth=0.8, linestyle=":")
        axes.set_xlim(-0.02, 1.02)
        axes.set_xlabel("Dice, mean over patients, and its 95% interval")
        axes.grid(axis="x")
        for each in (axes, numbers):
            each.set_axisbelow(True)
            each.tick_params(axis="y", length=0)
            each.spines[["left", "right"]].set_visible(False)


def _rows(summary: Mapping[str, Any]) -> Sequence[tuple[str, Mapping[str, Any] | None]]:
    """Headings, which have None, and the groups below them."""
    rows: list[tuple[str, Mapping[str, Any] | None]] = [("All expressions", summary)]
    for name, heading in GROUPINGS.items():
        groups = summary[f"by_{name}"]
        most = sorted(groups, key=lambda label: -groups[label]["n_expressions"])[:MOST_GROUPS]
        rows.append((f"By {heading.lower()}", None))
        rows += [(shortened(label, _LABEL), groups[label]) for label in groups if label in most]
    return rows


def _counted(group: Mapping[str, Any]) -> str:
    return f"{group['dice_n']} ({group['dice_n_patients']})"


def _draw_mean(axes: Axes, name: str, group: Mapping[str, Any], row: float) -> None:
    low, high = group[f"{name}_low"], group[f"{name}_high"]
    if low is not None and high is not None:
        axes.plot([low, high], [row, row], color=PALETTE[0], linewidth=1.6)
    axes.plot(group[name], row, "s", color=PALETTE[0], markersize=4.5)


def draw_by_calibre(cases: pd.DataFrame, summary: Mapping[str, Any], path: Path) -> None:
    """Dice over the vessels' mean width and over the image's size; recall and precision by local calibre."""
    with printed_figure(path, TWO_COLUMNS, 2.9) as figure:
        widths, calibres, sizes = figure.subplots(1, 3, sharey=True)
        _draw_points(widths, cases["vessel_width"], cases["dice"], "Mean vessel width, px")
        sides = (cases["height"] * cases["width"]) ** 0.5
        _draw_points(
            sizes, sides, cases["dice"], "Image, \N{SQUARE ROOT}(height \N{MULTIPLICATION SIGN} width), px"
        )
        widths.set_ylabel("Dice of an expression")
        for number, (label, (names, marker)) in enumerate(_CALIBRES.items()):
            _draw_calibres(calibres, summary, names, label, number, marker)
        calibres.set_xticks(
            range(len(CALIBRE_RECALL)), [_calibre(name) for name in CALIBRE_RECALL], rotation=40, ha="right"
        )
        calibres.set_xlabel("Local width of the vessel, px")
        calibres.set_ylabel("Score, mean over patients")
        calibres.legend(loc="lower right")
        for axes in (widths, calibres, sizes):
            axes.set_ylim(-0.02, 1.02)
            axes.grid(axis="both")
            axes.set_axisbelow(True)


def _draw_points(axes: Axes, x: pd.Series, y: pd.Series, label: str) -> None:
    known = x.notna() & y.notna()
    axes.scatter(
        x[known],
        y[known],
        s=12,
        alpha=0.5,
        color=PALETTE[0],
        linewidths=0,
        rasterized=known.sum() > MOST_POINTS,
    )
    axes.set_xlabel(label)


def _draw_calibres(
    axes: Axes, summary: Mapping[str, Any], names: Sequence[str], label: str, number: int, marker: str
) -> None:
    means, lows, highs = (
        np.array([summary.get(f"{name}_patient_mean{end}") for name in names], np.float64)
        for end in ("", "_low", "_high")
    )
    places = np.arange(len(names)) + 0.16 * number - 0.08
    axes.vlines(places, lows, highs, color=PALETTE[number], linewidth=1.4)
    axes.plot(places, means, marker, color=PALETTE[number], markersize=4.5, label=label)


def _calibre(name: str) -> str:
    return name.partition("_width_")[2].replace("_", " ")
