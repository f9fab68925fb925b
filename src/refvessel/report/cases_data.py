"""Every case of a report in the form that its cases page reads: columns of numbers, distinct texts, run lengths."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from refvessel.metrics.breaks import GAP
from refvessel.metrics.policy import SCORES
from refvessel.parquet_file import read_parquet
from refvessel.report.printing import printable
from refvessel.report.score_titles import TITLES
from refvessel.report.sections import Artifacts

TEXTS = ("image_id", "patient", "phrase", "status")  # columns whose distinct values are listed once
PREDICTED_IOU = "predicted_iou"
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


def cases_data(evaluations: Sequence[Artifacts]) -> CasesData:
    """The cases of all evaluations, in their order; a truth that several models share is held once."""
    texts = {name: _Distinct() for name in TEXTS}
    masks, pictures = _Distinct(), _Distinct()
    columns: dict[str, list[Any]] = {}
    details: list[dict[str, Any]] = []
    for place, one in enumerate(evaluations):
        rows: dict[str, list[Any]] = {
            "evaluation": [place] * len(one.cases),
            "sent_id": one.cases["sent_id"].tolist(),
            "height": one.cases["height"].tolist(),
            "width": one.cases["width"].tolist(),
            "picture": pictures.of((one.evaluation.dataset, image) for image in one.cases["image_id"]),
        }
        for name, distinct in texts.items():
            rows[name] = distinct.of(printable(str(text)) for text in one.cases[name])
        for name, shown in _MASKS.items():
            rows[shown] = [-1 if mask is None else masks.number(mask) for mask in map(_counts, one.cases[name])]
        for name in (PREDICTED_IOU, *SCORES):
            rows[name] = _rounded(one.cases[name])
        for name, values in rows.items():
            columns.setdefault(name, []).extend(values)
        details += _details(one)
    scores = {PREDICTED_IOU: "Predicted IoU", **TITLES}
    known = {name: title for name, title in scores.items() if any(v is not None for v in columns[name])}
    for name in scores.keys() - known.keys():
        del columns[name]
    table = {
        "evaluations": [
            {
                "name": one.evaluation.name,
                "model": one.evaluation.model,
                "dataset": one.evaluation.dataset,
                "split": one.evaluation.split,
                "unit": one.summary["settings"]["distance_unit"],
            }
            for one in evaluations
        ],
        "chunk": _CHUNK,
        "scores": known,
        "texts": {name: list(distinct.numbers) for name, distinct in texts.items()},
        "columns": columns,
    }
    listed = [{"counts": counts} for counts in masks.numbers]
    return CasesData(table, _chunks(listed), _chunks(details), list(pictures.numbers))


def _counts(mask: Any) -> str | None:
    """The run lengths of a mask, as RLE or as its JSON; None where a table has none."""
    rle = json.loads(mask) if isinstance(mask, str) else mask
    return str(rle["counts"]) if isinstance(rle, dict) else None


def _rounded(values: pd.Series) -> list[float | None]:
    rounded = values.astype(float).round(_DECIMALS)
    return [float(value) if np.isfinite(value) else None for value in rounded]


def _details(one: Artifacts) -> list[dict[str, Any]]:
    """Answer, error and breaks of each case of an evaluation, what is absent left out."""
    table, _ = read_parquet(one.evaluation.predictions, "gather the predictions again")
    said = dict(zip(table["sent_id"].to_pylist(), table["answer"].to_pylist(), strict=True))
    breaks = {key: _told(group) for key, group in one.breaks.groupby("sent_id", sort=False)}
    details = []
    for sent_id, error in zip(one.cases["sent_id"], one.cases["error"], strict=True):
        texts = {"answer": said.get(sent_id), "error": error}
        told = {name: printable(text) for name, text in texts.items() if isinstance(text, str) and text}
        details.append(told | ({"breaks": breaks[sent_id]} if sent_id in breaks else {}))
    return details


def _told(breaks: pd.DataFrame) -> list[list[float]]:
    """Row and column of each break, 1 where it is a gap and 0 where all behind is lost, and the length lost."""
    told = zip(breaks["row"], breaks["column"], breaks["kind"] == GAP, breaks["length_lost"], strict=True)
    return [[int(row), int(column), int(gap), round(float(lost), 1)] for row, column, gap, lost in told]


def _chunks(values: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    return [list(values[start : start + _CHUNK]) for start in range(0, len(values), _CHUNK)]
