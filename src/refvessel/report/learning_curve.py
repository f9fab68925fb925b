"""A training's learning curve: the scores of its checkpoints on one split, with their intervals."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from refvessel.artifacts import CURVE, CURVE_TABLE, PAGE, SUMMARY
from refvessel.files import atomic_file, read_json, sha256_of_file
from refvessel.metrics.policy import ERRORS
from refvessel.report.drawing import ALARM, COLUMN, PALETTE, TWO_COLUMNS, printed_figure
from refvessel.report.score_titles import worded_title
from refvessel.report.templating import templates
from refvessel.report.wording import worded, written_in
from refvessel.spreadsheets import write_csv

_STEPS = {"iter": "Iterations", "epoch": "Epochs"}
_PAGE = "learning_curve.html"


def write_learning_curve(
    scored: Mapping[str, tuple[int, Path]],
    folder: Path,
    *,
    scores: Sequence[str],
    kind: str,
    title: str,
    language: str,
) -> str:
    """Draw the curve as SVG and PDF, and write its table and a page.

    Args:
        scored: checkpoint -> its step, and the folder of its scores.
        folder: exists.
        scores: names of the scores that are drawn; the first decides which checkpoint is best.
        kind: of the steps, iter or epoch.
        title: of the page.
        language: of the page, one of the settings' LANGUAGES.

    Returns:
        The name of the checkpoint whose mean is best.
    """
    rows = [_row(name, step, place / SUMMARY, scores) for name, (step, place) in scored.items()]
    table = pd.DataFrame(rows).sort_values("step", ignore_index=True)
    best = _best(table, scores[0])
    with atomic_file(folder / CURVE_TABLE) as temporary:
        write_csv(table, temporary)
    _draw(table, folder / CURVE, scores, best, _STEPS[kind])
    with written_in(language):
        page = templates().get_template(_PAGE)
        text = page.render(
            title=title,
            scores=[worded_title(score) for score in scores],
            rows=[
                row | {"cells": [_interval(row, score) for score in scores]}
                for row in table.to_dict("records")
            ],
            best=best,
            figure=_markup(folder / CURVE),
            table=CURVE_TABLE,
        )
    with atomic_file(folder / PAGE) as temporary:
        temporary.write_text(text, "utf-8")
    return best


def _row(name: str, step: int, summary: Path, scores: Sequence[str]) -> dict[str, Any]:
    content = read_json(summary)
    row: dict[str, Any] = {"checkpoint": name, "step": step}
    for score in scores:
        for end in ("", "_low", "_high"):
            row[f"{score}{end}"] = content[f"{score}_patient_mean{end}"]
    counted = {key: content[key] for key in ("n_expressions", "n_patients", "n_failed")}
    return row | counted | {"summary_sha256": sha256_of_file(summary)}


def _best(table: pd.DataFrame, score: str) -> str:
    """The first of the best where any has a mean, else the last."""
    means = table[score].to_numpy(float)
    if np.isnan(means).all():
        return str(table["checkpoint"].iloc[-1])
    return str(table["checkpoint"].iloc[int(np.nanargmin(means) if score in ERRORS else np.nanargmax(means))])


def _draw(table: pd.DataFrame, path: Path, scores: Sequence[str], best: str, steps: str) -> None:
    width = TWO_COLUMNS if len(scores) > 1 else COLUMN
    with printed_figure(path, width, 3.0) as figure:
        panels = figure.subplots(1, len(scores), squeeze=False)[0]
        for axes, score, color in zip(panels, scores, PALETTE * len(scores), strict=False):
            of_score = table[["step", score, f"{score}_low", f"{score}_high"]].astype(float)
            steps_, mean, low, high = (of_score[column] for column in of_score)
            axes.fill_between(steps_, low, high, color=color, alpha=0.2, linewidth=0)
            axes.plot(steps_, mean, color=color, marker="o", markersize=4)
            axes.vlines(steps_, low, high, color=color, linewidth=1)
            if score == scores[0]:
                chosen = table["checkpoint"] == best
                axes.plot(steps_[chosen], mean[chosen], "o", color=ALARM, markersize=6, label="best")
                axes.legend(loc="best")
            axes.set_xlabel(steps)
            axes.set_ylabel(f"{worded_title(score)}, mean over patients")
            axes.grid(axis="y")
            axes.set_axisbelow(True)


def _interval(row: Mapping[Any, Any], score: str) -> str:
    values = [row[f"{score}{end}"] for end in ("", "_low", "_high")]
    mean, low, high = (f"{value:.3f}" for value in values)
    if pd.isna(values[0]):
        return worded("undefined")
    return (
        mean
        if pd.isna(values[1:]).any()
        else worded("%(mean)s (%(low)s to %(high)s)", mean=mean, low=low, high=high)
    )


def _markup(figure: Path) -> Markup:
    """A figure of ours as it stands in a page."""
    _, tag, rest = figure.read_text("utf-8").partition("<svg")
    return Markup(tag + rest)
