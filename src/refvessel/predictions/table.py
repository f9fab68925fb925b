"""Reading gathered predictions (`predictions.parquet`)."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from refvessel.errors import UserError
from refvessel.provenance import file_record

PREDICTION_COLUMNS = (
    "image_id",
    "ref_id",
    "sent_id",
    "phrase",
    "prompt",
    "answer",
    "num_seg",
    "status",
    "error",
    "mask",
    "masks",
    "score",
    "seconds",
)
_METADATA_KEY = b"refvessel"


def read_predictions(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The predictions and their provenance.

    The table has PREDICTION_COLUMNS, one row an expression, `mask` as RLE and `masks` as a list of RLE. The
    provenance is the file's record (name, bytes, sha256) with, under `made_from`, what the file says of its
    model, dataset, split and versions.
    Raises UserError where the file is missing, is not Parquet, lacks a column or has text that is not JSON.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist; gather the predictions first.")
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OSError) as error:
        raise UserError(
            f"{path} is not a readable Parquet file ({error}); gather the predictions again."
        ) from None
    missing = [name for name in PREDICTION_COLUMNS if name not in table.column_names]
    if missing:
        raise UserError(
            f"{path} lacks the column {missing[0]}; give the predictions.parquet that gather writes."
        )
    metadata = (table.schema.metadata or {}).get(_METADATA_KEY)
    if metadata is None:
        raise UserError(
            f"{path} does not say how it was made (Parquet metadata 'refvessel'); gather it again."
        )
    predictions = table.select(list(PREDICTION_COLUMNS)).to_pandas()
    for column in ("mask", "masks"):
        predictions[column] = pd.Series(
            [_from_json(text, path, column) for text in predictions[column]],
            index=predictions.index,
            dtype=object,
        )
    return predictions, {**file_record(path), "made_from": _from_json(metadata, path, "metadata")}


def _from_json(text: Any, path: Path, field: str) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        raise UserError(f"{path} has a {field} that is not JSON; gather the predictions again.") from None
