"""Whether predictions measure what the truth measures: areas, diameters, and distances of the surfaces."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from refvessel.report.drawing import ALARM, INK, MOST_POINTS, PALETTE, TWO_COLUMNS, printed_figure

_LIMITS = 1.96  # standard deviations around the bias between which 95% of differences lie
_BARS = 30


def area_agreement(cases: pd.DataFrame) -> dict[str, float]:
    """Bias of the predicted area and limits of agreement over expressions, in pixels (Bland and Altman, 1986)."""
    differences = (cases["predicted_pixels"] - cases["truth_pixels"]).to_numpy(np.float64)
    bias, sd = float(differences.mean()), float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    return {"bias": bias, "limit_low": bias - _LIMITS * sd, "limit_high": bias + _LIMITS * sd}


def draw_agreement(cases: pd.DataFrame, summary: Mapping[str, Any], path: Path) -> None:
    """Differences of areas and of diameters with their limits of agreement, and a histogram of HD95."""
    unit = summary["settings"]["distance_unit"]
    with printed_figure(path, TWO_COLUMNS, 2.9) as figure:
        areas, diameters, distances = figure.subplots(1, 3)
        _draw_differences(
            areas,
            (cases["predicted_pixels"] + cases["truth_pixels"]) / 2,
            cases["predicted_pixels"] - cases["truth_pixels"],
            area_agreement(cases),
        )
        areas.set_xlabel("Mean of both areas, px")
        areas.set_ylabel("Predicted \N{MINUS SIGN} true area, px")
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
        for axes in (areas, diameters, distances):
            axes.ticklabel_format(style="sci", scilimits=(-3, 4), axis="both")
            axes.grid(axis="y")
            axes.set_axisbelow(True)


def _draw_differences(axes: Axes, x: pd.Series, y: pd.Series, agreement: Mapping[str, Any]) -> None:
    axes.scatter(x, y, s=12, alpha=0.5, color=PALETTE[0], linewidths=0, rasterized=len(x) > MOST_POINTS)
    for name, style in (("bias", "-"), ("limit_low", "--"), ("limit_high", "--")):
        if agreement[name] is not None:
            axes.axhline(agreement[name], color=INK, linewidth=0.9, linestyle=style)
