"""Models beside each other: differences of each patient, and every model on every data set."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from refvessel.metrics.comparison import patient_scores
from refvessel.report.compared_models import Comparison
from refvessel.report.drawing import FAINT, INK, MOST_POINTS, PALETTE, TWO_COLUMNS, printed_figure
from refvessel.report.external_table import External
from refvessel.report.first_screen import evaluated_on
from refvessel.report.printing import shortened
from refvessel.report.score_titles import TITLES
from refvessel.report.sections import Artifacts

MOST_PAIRS = 6

_LABEL = 28  # characters
_DARK = 0.55  # of the colours of the matrix, from which on numbers are white
_LONGEST = 10.0  # inches


def shown_tests(one: Comparison) -> list[dict[str, Any]]:
    """The paired tests of the first score compared, which the figure shows; those of MOST_PAIRS pairs."""
    tests: list[dict[str, Any]] = one.content["tests"]
    return [row for row in tests if row["score"] == tests[0]["score"] and row["n_patients"]][:MOST_PAIRS]


def patient_differences(
    one: Comparison, row: Mapping[str, Any], evaluations: Sequence[Artifacts]
) -> np.ndarray:
    """First minus second of each patient of a row of the tests, ascending, float64."""
    cases = {
        each.evaluation.model: _compared(each.cases, one, row["score"])
        for each in evaluated_on(evaluations, one.dataset, one.split)
    }
    values = patient_scores({name: cases[name] for name in (row["first"], row["second"])}, row["score"])
    return np.sort((values[row["first"]] - values[row["second"]]).to_numpy())


def _compared(cases: pd.DataFrame, one: Comparison, score: str) -> pd.DataFrame:
    asked = cases.loc[~cases["phrase"].isin(one.content["phrases_left_out"]), ["patient", score, "sent_id"]]
    return asked.sort_values("sent_id", ignore_index=True)


def draw_differences(one: Comparison, evaluations: Sequence[Artifacts], path: Path) -> None:
    """A panel per pair of models: every patient's difference, and their mean with its interval."""
    rows = shown_tests(one)
    columns = min(3, len(rows))
    lines = -(-len(rows) // columns)
    with printed_figure(path, TWO_COLUMNS, 0.4 + 2.5 * lines) as figure:
        panels = figure.subplots(lines, columns, squeeze=False, sharey=True).ravel()
        for axes in panels[len(rows) :]:
            axes.set_visible(False)
        for axes, row in zip(panels, rows, strict=False):
            _draw_pair(axes, row, patient_differences(one, row, evaluations))
        for axes in panels[::columns]:
            axes.set_ylabel(f"Difference of {TITLES[rows[0]['score']]}")


def _draw_pair(axes: Axes, row: Mapping[str, Any], differences: np.ndarray) -> None:
    n = len(differences)
    places = np.arange(1, n + 1)
    axes.axhline(0, color=INK, linewidth=0.7, linestyle=":")
    axes.vlines(places, 0, differences, color=FAINT, linewidth=min(1.5, 120 / n))
    axes.scatter(
        places, differences, s=min(16, 1500 / n), color=PALETTE[0], linewidths=0, rasterized=n > MOST_POINTS
    )
    if row["difference_low"] is not None:
        axes.axhspan(row["difference_low"], row["difference_high"], color=PALETTE[1], alpha=0.25, linewidth=0)
    axes.axhline(row["difference"], color=PALETTE[1], linewidth=1.4)
    axes.set_title(f"{shortened(row['first'], _LABEL)} \N{MINUS SIGN}\n{shortened(row['second'], _LABEL)}")
    axes.set_xlabel(f"{n} patients, by difference")
    axes.set_xticks([])
    axes.set_xlim(0, n + 1)


def draw_external(external: External, path: Path) -> None:
    """Every model on every split as a matrix of the first score: the mean over patients and its interval."""
    score = next(iter(external.cells))[0]
    models = [model for each, model in external.cells if each == score]
    cells = [[external.cells[score, model].get(place) for place in external.columns] for model in models]
    means = np.array(
        [[np.nan if cell is None else cell["patient_mean"] for cell in row] for row in cells], float
    )
    height = min(0.9 + 0.5 * len(models), _LONGEST)
    with printed_figure(path, TWO_COLUMNS, height) as figure:
        axes = figure.subplots()
        shown = axes.imshow(means, cmap="cividis", aspect="auto")
        axes.set_yticks(range(len(models)), [shortened(model, _LABEL) for model in models])
        names = [
            f"{shortened(dataset, _LABEL)}\n{shortened(split, _LABEL)}" for dataset, split in external.columns
        ]
        axes.set_xticks(range(len(names)), names)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        for (line, column), mean in np.ndenumerate(means):
            if not np.isnan(mean):
                ink = INK if mean - np.nanmin(means) > _DARK * np.ptp(means[~np.isnan(means)]) else "white"
                axes.text(
                    column,
                    line,
                    _stated(cells[line][column] or {}),
                    ha="center",
                    va="center",
                    color=ink,
                    fontsize=8,
                )
        figure.colorbar(shown, ax=axes, label=f"{TITLES[score]}, mean over patients")


def _stated(cell: Mapping[str, Any]) -> str:
    mean = f"{cell['patient_mean']:.3f}"
    if cell["low"] is None or cell["high"] is None:
        return mean
    return f"{mean}\n({cell['low']:.3f} to {cell['high']:.3f})"
