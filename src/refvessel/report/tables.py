"""The report's tables, as data frames, CSV and LaTeX.

Numbers come from summary.json, which derives from cases.parquet: nothing is computed here.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from refvessel.report.evaluation import Artifacts

# Column of the summary -> its heading, in the order shown on the page.
HEADINGS = {
    "n_expressions": "n",
    "n_patients": "Patients",
    "n_failed": "Failed",
    "n_no_seg": "No [SEG]",
    "n_empty_prediction": "Empty answers",
    "dice_mean": "Dice mean",
    "dice_patient_mean": "Dice patient mean",
    "dice_pooled": "Dice pooled",
    "iou_mean": "IoU mean",
    "ciou": "cIoU",
    "giou": "gIoU",
    "pr_at_50": "Pr@0.5",
}
_LATEX_COLUMNS = (  # what fits the width of a printed page
    "n_expressions",
    "n_patients",
    "n_failed",
    "n_empty_prediction",
    "dice_mean",
    "dice_patient_mean",
    "iou_mean",
    "ciou",
    "giou",
)
_KEYS = ["model", "dataset", "split"]


def overall_table(evaluations: Sequence[Artifacts]) -> pd.DataFrame:
    """One row an evaluation: model, dataset, split and every number of its summary."""
    rows = [{**_identity(one), **_numbers(one.summary)} for one in evaluations]
    return pd.DataFrame(rows)


def group_table(evaluations: Sequence[Artifacts], column: str) -> pd.DataFrame:
    """One row an evaluation and phrase, or patient: as `overall_table`, with `column` after the split."""
    rows = [
        {**_identity(one), column: group, **summary}
        for one in evaluations
        for group, summary in one.summary[f"by_{column}"].items()
    ]
    return pd.DataFrame(rows)


def write_tables(evaluations: Sequence[Artifacts], folder: Path) -> dict[str, str]:
    """Write overall, by_phrase and by_patient as .csv (every column, full precision) and .tex.

    Returns the caption of each file by its name.
    """
    tables = {
        "overall": (overall_table(evaluations), "Scores over all expressions"),
        "by_phrase": (group_table(evaluations, "phrase"), "Scores by phrase"),
        "by_patient": (group_table(evaluations, "patient"), "Scores by patient"),
    }
    captions = {}
    for name, (table, caption) in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
        (folder / f"{name}.tex").write_text(_latex(table, caption, name), "utf-8")
        captions |= {f"{name}.csv": caption, f"{name}.tex": caption}
    return captions


def _latex(table: pd.DataFrame, caption: str, name: str) -> str:
    """A booktabs table; text is escaped, scores have three decimals, what is undefined is a dash.

    Model, dataset and split stand in the caption where all rows share them.
    """
    keys = [key for key in (*_KEYS, "phrase", "patient") if key in table]
    shared = [key for key in _KEYS if table[key].nunique() == 1]
    rows = [key for key in keys if key not in shared]
    described = ", ".join(f"{key} {table[key].iloc[0]}" for key in shared).replace("_", r"\_")
    headings = {**{key: key.capitalize() for key in keys}, **HEADINGS}
    return (
        table[[*rows, *_LATEX_COLUMNS]]
        .rename(columns=headings)
        .to_latex(
            index=False,
            escape=True,
            float_format="%.3f",
            na_rep="--",
            column_format="l" * len(rows) + "r" * len(_LATEX_COLUMNS),
            caption=f"{caption} ({described})." if described else f"{caption}.",
            label=f"tab:{name}",
        )
    )


def _identity(one: Artifacts) -> dict[str, str]:
    return {key: getattr(one.evaluation, key) for key in _KEYS}


def _numbers(summary: dict) -> dict[str, int | float | None]:
    """The summary's numbers over all expressions, without its groups, cases and provenance."""
    return {name: value for name, value in summary.items() if not isinstance(value, dict | list)}
