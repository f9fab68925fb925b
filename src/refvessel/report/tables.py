"""The report's tables, as data frames, CSV and LaTeX.

Numbers come from summary.json, which derives from cases.parquet: nothing is computed here.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from refvessel.metrics.breaks_table import BREAKS_SCHEMA
from refvessel.report.compared_models import (
    Comparison,
    agreement_table,
    non_inferiority_table,
    ranking_table,
    tests_table,
    trainings_table,
)
from refvessel.report.external_table import External
from refvessel.report.group_words import GROUPINGS
from refvessel.report.printing import shortened
from refvessel.report.score_titles import TITLES
from refvessel.report.scored_runs import sequences_table
from refvessel.report.sections import Artifacts
from refvessel.report.shown_breaks import worst_first
from refvessel.report.unscored import Unscored, unscored_table
from refvessel.sentences import marked
from refvessel.settings.scores_section import Protocol
from refvessel.spreadsheets import write_csv

# Column of the summary -> its heading, in the order shown on the page.
_HEADINGS = {
    "n_expressions": marked("n"),
    "n_patients": marked("Patients"),
    "n_failed": marked("Failed"),
    "n_no_seg": marked("No [SEG]"),
    "n_empty_prediction": marked("Empty answers"),
    "dice_mean": marked("Dice mean"),
    "dice_patient_mean": marked("Dice patient mean"),
    "dice_patient_mean_low": marked("95% from"),
    "dice_patient_mean_high": marked("to"),
    "dice_pooled": marked("Dice pooled"),
    "iou_mean": marked("IoU mean"),
    "recall_mean": marked("Recall mean"),
    "cldice_mean": marked("clDice mean"),
    "nsd_mean": marked("NSD mean"),
    "hd95_mean": marked("HD95 mean"),
    "ciou": marked("cIoU"),
    "giou": marked("gIoU"),
    "pr_at_50": marked("Pr@0.5"),
}
_OF_RASTERISERS_ALONE = ("recall_mean", "nsd_mean")
_OVERALL_ALONE = ("n_failed", "n_no_seg", "n_empty_prediction", "dice_pooled", "ciou", "giou", "pr_at_50")
HEADINGS = {name: heading for name, heading in _HEADINGS.items() if name not in _OF_RASTERISERS_ALONE}
RASTERISER_HEADINGS = {name: heading for name, heading in _HEADINGS.items() if name not in _OVERALL_ALONE}
_LATEX_COLUMNS = (  # what fits the width of a printed page
    "n_expressions",
    "n_patients",
    "n_failed",
    "n_empty_prediction",
    "dice_mean",
    "dice_patient_mean",
    "dice_patient_mean_low",
    "dice_patient_mean_high",
    "iou_mean",
    "ciou",
    "giou",
)
# Tables that comparisons of models are made into: what makes them, and their captions.
OF_COMPARISONS = {
    "comparisons": (tests_table, "Every two models of a split, compared"),
    "ranking": (ranking_table, "Ranks of the models of a split"),
    "agreement": (
        agreement_table,
        "How far the ranking by the mean, by the mean rank and by tests won agree",
    ),
    "non_inferiority": (non_inferiority_table, "Whether a model is as good as another within a margin"),
    "trainings": (trainings_table, "Spread over the trainings of a method beside the spread over patients"),
}
EXTERNAL_TABLE = "external"  # models on other data sets than their own
UNSCORED = "unscored"  # the table of evaluations without truth
_LATEX_CELL = 60  # characters
# Other signs in TeX's old text encoding; pandas escapes those that are commands.
_LATEX_SIGNS = str.maketrans(
    {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\char34{}"}
)
_KEYS = ["model", "dataset", "split"]


def overall_table(evaluations: Sequence[Artifacts]) -> pd.DataFrame:
    """One row per evaluation: model, dataset, split and every number of its summary.

    Where cIoU and gIoU are not the official evaluator's, its own have columns of their own.
    """
    rows = [{**_identity(one), **_numbers(one.summary)} for one in evaluations]
    if differs_from_official(evaluations):
        for row, one in zip(rows, evaluations, strict=True):
            official = one.summary["official"]
            row |= {f"official_{name}": official[name] for name in ("ciou", "giou", "n_expressions")}
    return pd.DataFrame(rows)


def differs_from_official(evaluations: Sequence[Artifacts]) -> bool:
    """Whether cIoU or gIoU of one is not what the official evaluator gives."""
    return any(not is_official(one.summary) for one in evaluations)


def is_official(summary: Mapping[str, Any]) -> bool:
    """Whether the cIoU and gIoU of a summary are those of the official evaluator."""
    return not summary["official"]["differences"] or summary["settings"]["protocol"] == Protocol.OFFICIAL


def group_table(evaluations: Sequence[Artifacts], column: str) -> pd.DataFrame:
    """One row per evaluation and group, such as a phrase: as `overall_table`, with `column` after the split."""
    rows = [
        {**_identity(one), column: group, **summary}
        for one in evaluations
        for group, summary in one.summary[f"by_{column}"].items()
    ]
    return pd.DataFrame(rows)


def write_tables(
    evaluations: Sequence[Artifacts],
    comparisons: Sequence[Comparison],
    folder: Path,
    unscored: Sequence[Unscored] = (),
    external: External | None = None,
) -> dict[str, str]:
    """Write overall, by_patient and by each of GROUPINGS as .csv (every column, full precision) and .tex.

    Where truths were drawn by other rasterisers, also by_rasteriser; with comparisons, also the tables of
    OF_COMPARISONS that have rows; with other data sets than a model's own, external.csv; of evaluations
    without truth unscored.csv. Returns the caption of each file by its name.
    """
    captions: dict[str, str] = {}
    if unscored:
        write_csv(unscored_table(unscored), folder / f"{UNSCORED}.csv")
        captions[f"{UNSCORED}.csv"] = "What was predicted where there is no truth"
    if not evaluations:
        return captions
    tables = {
        "overall": (overall_table(evaluations), "Scores over all expressions"),
        **{
            f"by_{name}": (group_table(evaluations, name), f"Scores by {heading.lower()}")
            for name, heading in GROUPINGS.items()
        },
        "by_patient": (group_table(evaluations, "patient"), "Scores by patient"),
    }
    if any(one.summary["by_rasteriser"] for one in evaluations):
        caption = "Scores of the same predictions by the truth's rasteriser"
        tables["by_rasteriser"] = (group_table(evaluations, "rasteriser"), caption)
    differs = differs_from_official(evaluations)
    for name, (table, caption) in tables.items():
        write_csv(table, folder / f"{name}.csv")
        in_print = f"{caption}; cIoU and gIoU are not the official evaluator's" if differs else caption
        (folder / f"{name}.tex").write_text(_latex(table, in_print, name), "utf-8")
        captions |= {f"{name}.csv": caption, f"{name}.tex": caption}
    broken = pd.concat([worst_first(one.breaks).assign(**_identity(one)) for one in evaluations])
    write_csv(broken[[*_KEYS, *BREAKS_SCHEMA.names]], folder / "breaks.csv")
    captions["breaks.csv"] = "Where predictions break the truth's vessels, the greatest loss first"
    if runs := [(_identity(one), one.runs) for one in evaluations if one.runs]:
        write_csv(sequences_table(runs), folder / "sequences.csv")
        captions["sequences.csv"] = "Scores of every sequence"
    if comparisons:
        for name, (table_of, caption) in OF_COMPARISONS.items():
            compared = table_of(comparisons)
            if not compared.empty:
                write_csv(compared, folder / f"{name}.csv")
                captions[f"{name}.csv"] = caption
    if external:
        write_csv(external.table, folder / f"{EXTERNAL_TABLE}.csv")
        captions[f"{EXTERNAL_TABLE}.csv"] = "Models on other data sets than the one that each was trained for"
    return captions


def _latex(table: pd.DataFrame, caption: str, name: str) -> str:
    """A booktabs table; text is escaped and at most 60 characters per cell, scores have three decimals, what is
    undefined is a dash.

    Model, dataset and split stand in the caption where all rows share them.
    """
    keys = [key for key in (*_KEYS, *GROUPINGS, "patient", "rasteriser") if key in table]
    shared = [key for key in _KEYS if table[key].nunique() == 1]
    rows = [key for key in keys if key not in shared]
    described = ", ".join(f"{key} {table[key].iloc[0]}" for key in shared).replace("_", r"\_")
    columns = [
        each
        for name in _LATEX_COLUMNS
        if name in table  # one patient has no interval
        for each in (name, *_over_how_many(table, name))
    ]
    ns = {f"{score}_n": f"{title} n" for score, title in TITLES.items()}
    headings = {**{key: GROUPINGS.get(key, key.capitalize()) for key in keys}, **HEADINGS, **ns}
    text = {key: table[key].map(lambda cell: shortened(str(cell), _LATEX_CELL)) for key in rows}
    written = (
        table[[*rows, *columns]]
        .assign(**text)
        .rename(columns=headings)
        .to_latex(
            index=False,
            escape=True,
            float_format="%.3f",
            na_rep="--",
            column_format="l" * len(rows) + "r" * len(columns),
            caption=f"{caption} ({described})." if described else f"{caption}.",
            label=f"tab:{name}",
        )
    )
    # At the start of a row these would be the options of the line break before it.
    return re.sub(r"^(?=[\[*])", "{}", written.translate(_LATEX_SIGNS), flags=re.MULTILINE)


def _over_how_many(table: pd.DataFrame, name: str) -> list[str]:
    """The column with the numbers of expressions that a mean over expressions runs over, where not over all."""
    counts = f"{name.removesuffix('_mean')}_n"
    over_expressions = name.endswith("_mean") and counts in table
    return [counts] if over_expressions and (table[counts] != table["n_expressions"]).any() else []


def _identity(one: Artifacts) -> dict[str, str]:
    return {key: getattr(one.evaluation, key) for key in _KEYS}


def _numbers(summary: dict[str, Any]) -> dict[str, int | float | None]:
    """The summary's numbers over all expressions, without its groups, cases and provenance."""
    return {name: value for name, value in summary.items() if not isinstance(value, dict | list)}
