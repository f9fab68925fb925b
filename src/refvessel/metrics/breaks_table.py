"""The table of breaks, `breaks.parquet`: one row per missed connection, an expression's greatest loss first."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from refvessel.errors import UserError
from refvessel.metrics.breaks import Break
from refvessel.metrics.cases import EXPRESSION
from refvessel.parquet_file import read_parquet, write_parquet

BREAKS_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("ref_id", pa.int64()),
        ("sent_id", pa.int64()),
        ("phrase", pa.string()),
        ("patient", pa.string()),
        ("kind", pa.string()),  # gap or lost, see `Break`
        ("row", pa.int64()),  # pixels of the image
        ("column", pa.int64()),
        ("calibre", pa.float64()),  # pixels
        ("gap", pa.float64()),  # pixels; null where all behind is lost
        ("length_lost", pa.float64()),  # pixels
    ]
)


def breaks_table(cases: pd.DataFrame, breaks: Sequence[Sequence[Break]]) -> pd.DataFrame:
    """The table, with the columns of BREAKS_SCHEMA; `breaks` has those of each case."""
    described = [*EXPRESSION, "patient"]
    rows = [
        {**case, **each._asdict()}
        for case, found in zip(cases[described].to_dict("records"), breaks, strict=True)
        for each in found
    ]
    return pd.DataFrame(rows, columns=BREAKS_SCHEMA.names)


def write_breaks(table: pd.DataFrame, path: Path, made_from: Mapping[str, Any]) -> None:
    """Write the table and what it was made from, atomically."""
    write_parquet(path, pa.Table.from_pandas(table, schema=BREAKS_SCHEMA, preserve_index=False), made_from)


def read_breaks(path: Path) -> pd.DataFrame:
    """The table; raises UserError where the file is missing, is not Parquet or has other columns."""
    table, _ = read_parquet(path, "score the predictions again")
    if not table.schema.equals(BREAKS_SCHEMA):
        raise UserError(f"{path} has other columns than this version of RefVessel writes; score again.")
    return table.to_pandas()
