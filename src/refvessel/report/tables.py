"""The report's tables: as data frames, as CSV, and the LaTeX beside it.

Numbers come from summary.json, which derives from cases.parquet: nothing is computed here.
"""

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
from refvessel.report.paper_tables import (
    comparisons_in_print,
    external_in_print,
    groups_in_print,
    overall_in_print,
    referring_in_print,
)
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
EXTERNAL_TABLE = "external"
_ELSEWHERE = "Models on other data sets than the one that each was trained for"
UNSCORED = "unscored"  # the table of evaluations without truth
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
    """Write overall, by_patient and by each of GROUPINGS as .csv (every column, full precision) and, for
    papers, .tex.

    Where truths were drawn by other rasterisers, also by_rasteriser; with comparisons, also the tables of
    OF_COMPARISONS that have rows; with other data sets than a model's own, external.csv; of evaluations
    without truth unscored.csv. For papers alone: referring.tex. Returns the caption of each file by its name.
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
    for name, (table, caption) in tables.items():
        write_csv(table, folder / f"{name}.csv")
        captions[f"{name}.csv"] = caption
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
        captions[f"{EXTERNAL_TABLE}.csv"] = _ELSEWHERE
    told = {name: caption for name, (_, caption) in tables.items()}
    for name, (caption, text) in _in_print(told, evaluations, comparisons, external).items():
        (folder / f"{name}.tex").write_text(text, "utf-8")
        captions[f"{name}.tex"] = caption
    return captions


def _in_print(
    captions: Mapping[str, str],
    evaluations: Sequence[Artifacts],
    comparisons: Sequence[Comparison],
    external: External | None,
) -> dict[str, tuple[str, str]]:
    """Name of each table for papers -> its caption and its LaTeX; `captions` are those of the tables of scores."""
    headings = {**GROUPINGS, "patient": "Patient", "rasteriser": "Truth by"}
    overall, *groups = captions.items()
    referring = "Scores of referring segmentation"
    if differs_from_official(evaluations):
        referring += "; cIoU and gIoU are not the official evaluator's"
    tables = {
        overall[0]: (overall[1], overall_in_print(evaluations, comparisons, overall[1])),
        "referring": (referring, referring_in_print(evaluations, referring)),
    }
    for name, caption in groups:
        column = name.removeprefix("by_")
        text = groups_in_print(evaluations, comparisons, column, headings[column], caption)
        tables[name] = (caption, text)
    if comparisons:
        caption = OF_COMPARISONS["comparisons"][1]
        tables["comparisons"] = (caption, comparisons_in_print(comparisons, caption))
    if external:
        tables[EXTERNAL_TABLE] = (_ELSEWHERE, external_in_print(external, _ELSEWHERE))
    return tables


def _identity(one: Artifacts) -> dict[str, str]:
    return {key: getattr(one.evaluation, key) for key in _KEYS}


def _numbers(summary: dict[str, Any]) -> dict[str, int | float | None]:
    """The summary's numbers over all expressions, without its groups, cases and provenance."""
    return {name: value for name, value in summary.items() if not isinstance(value, dict | list)}
