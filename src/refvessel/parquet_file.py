"""Parquet tables that say in their metadata what they were made from."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
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
    remaining = iter(tables)
    first = next(remaining)  # what it refuses it does before there is a file
    with atomic_file(path) as temporary, parquet.ParquetWriter(temporary, described) as writer:
        for table in chain([first], remaining):
            writer.write_table(table.cast(described))


def read_parquet(path: Path, remedy: str, columns: Sequence[str] | None = None) -> tuple[pa.Table, Any]:
    """A table, and what its file says that it was made from; None where it says nothing.

    Args:
        path: of the file.
        remedy: what makes the file, as in "score again"; the errors' sentences end with it.
        columns: those that are read, where the file has them; None: all.

    Raises:
        UserError: where the file is missing or is not Parquet.
    """
    with _readable(path, remedy):
        known = columns and [name for name in parquet.read_schema(path).names if name in columns]
        table = parquet.read_table(path, columns=known)
    text = (table.schema.metadata or {}).get(_METADATA_KEY)
    try:
        return table, None if text is None else json.loads(text)
    except ValueError:
        raise UserError(f"{path} has a metadata that is not JSON; {remedy}.") from None


def number_of_rows(path: Path, remedy: str) -> int:
    """How many rows the table has; arguments and errors are those of `read_parquet`."""
    with _readable(path, remedy):
        return int(parquet.read_metadata(path).num_rows)


@contextmanager
def _readable(path: Path, remedy: str) -> Iterator[None]:
    """Turn a file that is missing or is not Parquet, met in the block, into a UserError."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist; {remedy}.")
    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowTypeError, OSError) as error:
        raise UserError(f"{path} is not a readable Parquet file ({error}); {remedy}.") from None


def parquet_rows(path: Path, rows: Iterable[slice]) -> Iterator[pa.Table]:
    """The rows of each slice of a file's table; few row groups are in memory at a time.

    Args:
        path: of a readable Parquet file.
        rows: slices that follow each other from the first row on.
    """
    groups = row_groups(path)
    first, held = 0, pa.table({})
    for each in rows:
        while first + len(held) < each.stop:
            known = [held.slice(each.start - first)] if len(held) else []
            held, first = pa.concat_tables([*known, next(groups)]), each.start
        yield held.slice(each.start - first, each.stop - each.start)


def row_groups(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """The row groups of a readable Parquet file one after another, with these columns or all."""
    with parquet.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            yield file.read_row_group(number, columns=columns)
