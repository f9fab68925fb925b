"""Parquet tables that say in their metadata what they were made from."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from refvessel.errors import UserError
from refvessel.files import atomic_file

_METADATA_KEY = b"refvessel"


def write_parquet(path: Path, table: pa.Table, made_from: Mapping[str, Any]) -> None:
    """Write a table, atomically, and with it, as JSON, what it was made from."""
    write_row_groups(path, [table], table.schema, made_from)


def write_row_groups(
    path: Path, tables: Iterable[pa.Table], schema: pa.Schema, made_from: Mapping[str, Any]
) -> None:
    """Write tables below each other into one file, atomically; only one of them is in memory at a time.

    Args:
        path: of the file.
        tables: each becomes a row group; there is at least one.
        schema: of all of them.
        made_from: what the file says, as JSON, that it was made from.
    """
    text = json.dumps(made_from, sort_keys=True, ensure_ascii=False, allow_nan=False)
    described = schema.with_metadata({_METADATA_KEY: text})
    with atomic_file(path) as temporary, parquet.ParquetWriter(temporary, described) as writer:
        for table in tables:
            writer.write_table(table.cast(described))


def read_parquet(path: Path, remedy: str) -> tuple[pa.Table, Any]:
    """A table, and what its file says that it was made from; None where it says nothing.

    Args:
        path: of the file.
        remedy: what makes the file, as in "score again"; the errors' sentences end with it.

    Raises:
        UserError: where the file is missing or is not Parquet.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist; {remedy}.")
    try:
        table = parquet.read_table(path)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OSError) as error:
        raise UserError(f"{path} is not a readable Parquet file ({error}); {remedy}.") from None
    text = (table.schema.metadata or {}).get(_METADATA_KEY)
    try:
        return table, None if text is None else json.loads(text)
    except ValueError:
        raise UserError(f"{path} has a metadata that is not JSON; {remedy}.") from None
