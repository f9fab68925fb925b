"""The table of a split's predictions, `predictions.parquet`: one row per expression, RLEs as JSON text.

Its columns are the fields of `Prediction`. One that has a default may be absent from tables of earlier versions.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import pyarrow as pa

from refvessel.answer_status import Status
from refvessel.errors import UserError
from refvessel.parquet_file import parquet_rows, read_parquet, write_row_groups
from refvessel.predictions.prediction import COLUMNS, Prediction
from refvessel.provenance import file_record

if TYPE_CHECKING:
    import pandas as pd

_ARROW_TYPES = {
    str: pa.string(),
    Status: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
}


def _without_none(kind: Any) -> Any:
    """`X` of the type `X | None`, and any other type as it is."""
    options = [each for each in get_args(kind) if each is not NoneType]
    return options[0] if len(options) < len(get_args(kind)) else kind


_KINDS = {name: _without_none(kind) for name, kind in get_type_hints(Prediction).items()}
_JSON_COLUMNS = [name for name in COLUMNS if _KINDS[name] not in _ARROW_TYPES]
SCHEMA = pa.schema([(name, _ARROW_TYPES.get(_KINDS[name], pa.string())) for name in COLUMNS])
_DEFAULTS = {each.name: each.default for each in fields(Prediction) if each.default is not MISSING}
_REMEDY = "gather the predictions again"
# Rows of a row group, which are in memory at once, with their masks: some 100 MB of 512x512.
PER_GROUP = 8192


def write_predictions(path: Path, predictions: Sequence[Prediction], made_from: Mapping[str, Any]) -> None:
    """Write predictions in their order, atomically, with what they were made from in the table's metadata."""
    groups = (predictions[first : first + PER_GROUP] for first in range(0, len(predictions) or 1, PER_GROUP))
    write_prediction_groups(path, groups, made_from)


def write_prediction_groups(
    path: Path, groups: Iterable[Sequence[Prediction]], made_from: Mapping[str, Any]
) -> None:
    """The same of more than fit into memory: group by group, each a row group of the file."""
    write_row_groups(path, map(_table, groups), SCHEMA, made_from)


def _table(predictions: Sequence[Prediction]) -> pa.Table:
    columns = {name: [getattr(each, name) for each in predictions] for name in COLUMNS}
    for name in _JSON_COLUMNS:
        columns[name] = list(map(json.dumps, columns[name]))
    return pa.Table.from_pydict(columns, SCHEMA)


def read_records(path: Path) -> tuple[list[Prediction], dict[str, Any]]:
    """The predictions as records, and what they were made from; raises as `read_predictions` does."""
    table, made_from = _read(path)
    columns = {name: table[name].to_pylist() for name in COLUMNS}
    for name in _JSON_COLUMNS:
        columns[name] = _parsed(columns[name], path, name)
    try:
        columns["status"] = list(map(Status, columns["status"]))
    except ValueError as error:
        raise UserError(f"{path} has a status that no prediction has ({error}); {_REMEDY}.") from None
    return [Prediction(*values) for values in zip(*columns.values(), strict=True)], made_from


def read_predictions(path: Path) -> tuple["pd.DataFrame", dict[str, Any]]:
    """The predictions as a data frame, and their provenance.

    The data frame has COLUMNS, one row per expression, `mask` as RLE and `masks` as a list of RLEs. The provenance
    is the file's record (name, bytes, sha256) with, under `made_from`, what the file says of its model, dataset,
    split and versions.
    Raises UserError where the file is missing, is not Parquet, lacks a column or has text that is not JSON.
    """
    table, made_from = _read(path)
    return _frame(table, path), {**file_record(path), "made_from": made_from}


class StoredPredictions:
    """The predictions of a file, a few rows at a time.

    sent_ids: int64 (rows,).
    sorted: whether they ascend, as those of gathered predictions.
    provenance: as of `read_predictions`.
    """

    def __init__(self, path: Path) -> None:
        """Open it; raises UserError as `read_predictions` does, but for text that is not JSON."""
        table, made_from = read_parquet(path, _REMEDY, columns=["sent_id"])
        _require_made_from(made_from, path)
        if "sent_id" not in table.column_names:
            _read(path)  # which says what is absent
        self._path = path
        self.sent_ids = table["sent_id"].to_numpy()
        self.sorted = bool((self.sent_ids[1:] > self.sent_ids[:-1]).all())
        self.provenance = {**file_record(path), "made_from": made_from}

    def frames(self, rows: Iterable[slice]) -> Iterator["pd.DataFrame"]:
        """The rows of each slice, the first from row 0 on and each behind the last, as of `read_predictions`."""
        for table in parquet_rows(self._path, rows):
            yield _frame(_completed(table, self._path), self._path)


def _frame(table: pa.Table, path: Path) -> "pd.DataFrame":
    predictions = table.to_pandas()
    texts = {name: predictions[name] for name in _JSON_COLUMNS}
    for name in _JSON_COLUMNS:
        predictions[name] = _parsed(texts[name], path, name)
    # Mostly there is one mask, which is its own union: it need not be in memory twice.
    rows = zip(texts["mask"], texts["masks"], predictions["mask"], predictions["masks"], strict=True)
    predictions["masks"] = [[mask] if masks == f"[{text}]" else parsed for text, masks, mask, parsed in rows]
    return predictions


def _read(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    """The table with all COLUMNS, in their order, and what it was made from."""
    table, made_from = read_parquet(path, _REMEDY)
    _require_made_from(made_from, path)
    return _completed(table, path), made_from


def _require_made_from(made_from: Any, path: Path) -> None:
    if made_from is None:
        raise UserError(f"{path} does not say how it was made (Parquet metadata 'refvessel'); {_REMEDY}.")


def _completed(table: pa.Table, path: Path) -> pa.Table:
    """The table with all COLUMNS, in their order."""
    for name in COLUMNS:
        if name in table.column_names:
            continue
        if name not in _DEFAULTS:
            raise UserError(
                f"{path} lacks the column {name}; give the predictions.parquet that gather writes."
            )
        values = pa.array([_DEFAULTS[name]] * len(table), SCHEMA.field(name).type)
        table = table.append_column(name, values)
    return table.select(COLUMNS)


def _parsed(texts: Sequence[str], path: Path, name: str) -> list[Any]:
    try:
        return list(map(json.loads, texts))
    except (TypeError, ValueError):
        raise UserError(f"{path} has a {name} that is not JSON; {_REMEDY}.") from None
