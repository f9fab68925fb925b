"""Whether predictions measure what the truth measures: areas, lengths, diameters, and distances of surfaces."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from refvessel.report.drawing import ALARM, INK, MOST_POINTS, PALETTE, TWO_COLUMNS, printed_figure

_LIMITS = 1.96  # standard deviations around the bias between which 95% of differences lie
_BARS = 30


def agreement(cases: pd.DataFrame, measure: str) -> dict[str, float]:
    """Bias of what is predicted and limits of agreement over expressions (Bland and Altman, 1986).

    `measure` is `pixels`, the area, or `length`, of the centre lines in pixels.
    """
    differences = _difference(cases, measure).to_numpy(np.float64)
    bias, sd = float(differences.mean()), float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    return {"bias": bias, "limit_low": bias - _LIMITS * sd, "limit_high": bias + _LIMITS * sd}


def known_lengths(cases: pd.DataFrame) -> pd.DataFrame:
    """The cases whose lengths are known: those of an earlier version have none."""
    return cases.dropna(subset=["truth_length", "predicted_length"])


def draw_agreement(cases: pd.DataFrame, summary: Mapping[str, Any], path: Path) -> None:
    """Differences of areas, lengths and diameters with their limits of agreement, and a histogram of HD95."""
    unit = summary["settings"]["distance_unit"]
    with printed_figure(path, TWO_COLUMNS, 5.2) as figure:
        (areas, lengths), (diameters, distances) = figure.subplots(2, 2)
        for axes, some, measure in ((areas, cases, "pixels"), (lengths, known_lengths(cases), "length")):
            mean = (some[f"predicted_{measure}"] + some[f"truth_{measure}"]) / 2
            if len(some):
                _draw_differences(axes, mean, _difference(some, measure), agreement(some, measure))
        areas.set_xlabel("Mean of both areas, px")
        areas.set_ylabel("Predicted \N{MINUS SIGN} true area, px")
        lengths.set_xlabel("Mean of both lengths, px")
        lengths.set_ylabel("Predicted \N{MINUS SIGN} true length, px")
        measured = cases[cases["diameter_n"] > 0]
        _draw_differences(
            diameters, measured["vessel_width"], measured["diameter_bias"], summary["diameters"]
        )
        diameters.set_xlabel("Mean vessel width, px")
        diameters.set_ylabel("Predicted \N{MINUS SIGN} true diameter, px")
        hd95 = cases["hd95"].dropna()
        if len(hd95):
            distances.hist(hd95, bins=_BARS, color=PALETTE[0])
            distances.axvline(hd95.median(), color=INK, linewidth=1)
            distances.axvline(np.percentile(hd95, 95), color=ALARM, linewidth=1, linestyle="--")
        distances.set_xlabel(f"HD95, {unit}")
        distances.set_ylabel("Number of expressions")
        for axes in (areas, lengths, diameters, distances):
            axes.xaxis.set_major_locator(MaxNLocator(5))
            axes.grid(axis="y")
            axes.set_axisbelow(True)


def _difference(cases: pd.DataFrame, measure: str) -> pd.Series:
    return cases[f"predicted_{measure}"] - cases[f"truth_{measure}"]


def _draw_differences(axes: Axes, x: pd.Series, y: pd.Series, agreement: Mapping[str, Any]) -> None:
    axes.scatter(x, y, s=12, alpha=0.5, color=PALETTE[0], linewidths=0, rasterized=len(x) > MOST_POINTS)
    for name, style in (("bias", "-"), ("limit_low", "--"), ("limit_high", "--")):
        if agreement[name] is not None:
            axes.axhline(agreement[name], color=INK, linewidth=0.9, linestyle=style)
