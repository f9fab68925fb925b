"""The cases that are shown one by one, in the form that the cases page reads: columns, texts, run lengths."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import compute

from refvessel.metrics.breaks import GAP
from refvessel.metrics.policy import DISTANCES, SCORES
from refvessel.metrics.sequences_summary import SEQUENCE
from refvessel.parquet_file import read_parquet
from refvessel.report.printing import printable
from refvessel.report.score_titles import TITLES, worded_title
from refvessel.report.sections import Artifacts
from refvessel.report.unscored import Unscored
from refvessel.report.wording import worded

_TEXTS = ("image_id", "patient", "phrase", "status")  # columns whose distinct values are listed once
_PREDICTED_IOU = "predicted_iou"
_MASKS = {"truth_mask": "truth", "predicted_mask": "prediction", "ignore_mask": "ignored"}
_CHUNK = 200  # masks or cases that the page parses at once
_DECIMALS = 4  # of a score


@dataclass
class CasesData:
    """What the page holds.

    `table` is parsed when the page opens; `masks` are chunks of run lengths, and `details` chunks of what one case
    says of itself (answer, error, breaks), each parsed when a case of it is opened. `images` are the data set and
    image_id of each picture.
    """

    table: dict[str, Any]
    masks: list[list[dict[str, Any]]]
    details: list[list[dict[str, Any]]]
    images: list[tuple[str, str]]


@dataclass
class _Distinct:
    """Values in the order in which they were first seen, and the number of each."""

    numbers: dict[Any, int] = field(default_factory=dict)

    def number(self, value: Any) -> int:
        return self.numbers.setdefault(value, len(self.numbers))

    def of(self, values: Iterable[Any]) -> list[int]:
        return [self.number(value) for value in values]


def cases_data(evaluations: Sequence[Artifacts | Unscored]) -> CasesData:
    """The cases of all evaluations, in their order; a truth that several models share is held once."""
    texts = {name: _Distinct() for name in _TEXTS}
    masks, pictures, runs = _Distinct(), _Distinct(), _Distinct()
    columns: dict[str, list[Any]] = {}
    details: list[dict[str, Any]] = []
    for place, one in enumerate(evaluations):
        cases = shown_cases(one)
        rows: dict[str, list[Any]] = {
            "evaluation": [place] * len(cases),
            **{name: cases[name].tolist() for name in ("sent_id", "height", "width")},
            "picture": pictures.of((one.evaluation.dataset, image) for image in cases["image_id"]),
        }
        rows |= _frames(one, place, cases, runs)
        for name, distinct in texts.items():
            rows[f"{name}_place"] = distinct.of(printable(str(text)) for text in cases[name])
        for name, shown in _MASKS.items():
            rows[shown] = [-1 if mask is None else masks.number(mask) for mask in map(_counts, cases[name])]
        for name in (_PREDICTED_IOU, *SCORES):
            rows[name] = _rounded(cases[name]) if name in cases else [None] * len(cases)
        for name, values in rows.items():
            columns.setdefault(name, []).extend(values)
        details += _details(one, cases)
    titles = _titles(evaluations)
    known = {name: title for name, title in titles.items() if set(columns[name]) != {None}}
    table = {
        "evaluations": [
            {name: getattr(one.evaluation, name) for name in ("name", "model", "dataset", "split")}
            for one in evaluations
        ],
        "chunk": _CHUNK,
        "scores": known,
        "texts": {name: list(distinct.numbers) for name, distinct in texts.items()},
        "columns": {name: values for name, values in columns.items() if name in known or name not in titles},
    }
    listed = [{"counts": counts} for counts in masks.numbers]
    return CasesData(table, _chunks(listed), _chunks(details), list(pictures.numbers))


def shown_cases(one: Artifacts | Unscored) -> pd.DataFrame:
    """The cases of an evaluation that are shown; those without truth have neither scores nor patients."""
    if isinstance(one, Artifacts):
        return one.shown
    sizes = [mask["size"] for mask in one.predictions["mask"]]
    return one.predictions.assign(
        height=[height for height, _ in sizes],
        width=[width for _, width in sizes],
        patient="",
        truth_mask=None,
        predicted_mask=one.predictions["mask"],
        ignore_mask=None,
        predicted_iou=one.predictions["score"],
    )


def _frames(
    one: Artifacts | Unscored, place: int, cases: pd.DataFrame, runs: _Distinct
) -> dict[str, list[Any]]:
    """The number of each case's run and its place in it; -1 of cases that are in none."""
    numbers: dict[Any, tuple[int, int]] = {}
    if isinstance(one, Artifacts) and one.runs is not None:
        frames = one.runs.frames
        keys = zip([place] * len(frames), *(frames[name] for name in SEQUENCE), strict=True)
        numbers = dict(zip(frames["sent_id"], zip(runs.of(keys), frames["index"], strict=True), strict=True))
    placed = [numbers.get(sent_id, (-1, -1)) for sent_id in cases["sent_id"]]
    return {"run": [run for run, _ in placed], "frame": [int(index) for _, index in placed]}


def _titles(evaluations: Sequence[Artifacts | Unscored]) -> dict[str, str]:
    """What the page calls each score; distances with their unit, where all evaluations have the same."""
    scored = [one for one in evaluations if isinstance(one, Artifacts)]
    units = {one.summary["settings"]["distance_unit"] for one in scored}
    unit = f" ({units.pop()})" if len(units) == 1 else ""
    titles = {name: worded_title(name) for name in TITLES}
    titles = {name: f"{title}{unit}" if name in DISTANCES else title for name, title in titles.items()}
    return {_PREDICTED_IOU: worded("Predicted IoU"), **titles}


def _counts(mask: Any) -> str | None:
    """The run lengths of a mask, as RLE or as its JSON; None where a table has none."""
    rle = json.loads(mask) if isinstance(mask, str) else mask
    return str(rle["counts"]) if isinstance(rle, dict) else None


def _rounded(values: pd.Series) -> list[float | None]:
    rounded = values.astype(float).round(_DECIMALS)
    return [float(value) if np.isfinite(value) else None for value in rounded]


def _details(one: Artifacts | Unscored, cases: pd.DataFrame) -> list[dict[str, Any]]:
    """Answer, error and breaks of each case of an evaluation, what is absent left out."""
    if isinstance(one, Artifacts):
        columns = ["sent_id", "answer"]
        table, _ = read_parquet(one.evaluation.predictions, "gather the predictions again", columns)
        table = table.filter(compute.is_in(table["sent_id"], pa.array(cases["sent_id"])))
        answers = dict(zip(table["sent_id"].to_pylist(), table["answer"].to_pylist(), strict=True))
        shown = one.breaks[one.breaks["sent_id"].isin(cases["sent_id"])]
        breaks = {key: _told(group) for key, group in shown.groupby("sent_id", sort=False)}
    else:
        answers, breaks = dict(zip(cases["sent_id"], cases["answer"], strict=True)), {}
    details = []
    for sent_id, error in zip(cases["sent_id"], cases["error"], strict=True):
        texts = {"answer": answers.get(sent_id), "error": error}
        told = {name: printable(text) for name, text in texts.items() if isinstance(text, str) and text}
        details.append(told | ({"breaks": breaks[sent_id]} if sent_id in breaks else {}))
    return details


def _told(breaks: pd.DataFrame) -> list[list[float]]:
    """Row and column of each break, 1 where it is a gap and 0 where all behind is lost, and the length lost."""
    told = zip(breaks["row"], breaks["column"], breaks["kind"] == GAP, breaks["length_lost"], strict=True)
    return [[int(row), int(column), int(gap), round(float(lost), 1)] for row, column, gap, lost in told]


def _chunks(values: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    return [list(values[start : start + _CHUNK]) for start in range(0, len(values), _CHUNK)]
