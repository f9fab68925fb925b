"""The table of cases, `cases.parquet`: one row per expression, from which every table and figure derives."""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from refvessel.errors import UserError
from refvessel.metrics.artefacts import TRUTH_ARTEFACTS
from refvessel.metrics.centre_lines import LENGTHS
from refvessel.metrics.diameters import DIAMETERS
from refvessel.metrics.overlap import COUNTS
from refvessel.metrics.policy import SCORES
from refvessel.parquet_file import number_of_rows, read_parquet, row_groups, write_row_groups

# What an expression is called in the tree and in predictions; `sent_id` alone tells it from all others.
_EXPRESSION = {
    "image_id": pa.string(),
    "ref_id": pa.int64(),
    "sent_id": pa.int64(),
    "phrase": pa.string(),
}
EXPRESSION = tuple(_EXPRESSION)

CASES_SCHEMA = pa.schema(
    [
        *_EXPRESSION.items(),
        ("patient", pa.string()),
        ("status", pa.string()),  # of Status
        ("error", pa.string()),  # of a failed expression, else null
        ("height", pa.int64()),  # of the image, pixels
        ("width", pa.int64()),
        ("row_spacing", pa.float64()),  # height and width of a pixel in mm; null where unknown
        ("column_spacing", pa.float64()),
        *((count, pa.int64()) for count in COUNTS),  # pixels; ignored ones are in none of the four
        ("truth_pixels", pa.int64()),  # foreground sizes
        ("predicted_pixels", pa.int64()),
        ("truth_regions", pa.int64()),  # components
        ("vessel_width", pa.float64()),  # of the truth, pixels; null where it is empty
        *((length, pa.float64()) for length in LENGTHS),  # of the centre lines, pixels
        ("diameter_n", pa.int64()),  # cross-sections of vessels on which both diameters are known
        *((name, pa.float64()) for name in DIAMETERS[1:]),  # pixels and percent; null where there is none
        *((name, pa.int64()) for name in TRUTH_ARTEFACTS),
        ("predicted_iou", pa.float64()),  # the model's own; null where it gave none
        *((score, pa.float64()) for score in SCORES),  # null where undefined
        ("truth_mask", pa.string()),  # COCO RLE as JSON
        ("predicted_mask", pa.string()),
        ("ignore_mask", pa.string()),  # null where every pixel counts
    ]
)

MASKS = ("truth_mask", "predicted_mask", "ignore_mask")
_REMEDY = "score the predictions again"

_KNOWN_LATER = (
    *SCORES,
    *TRUTH_ARTEFACTS,
    *LENGTHS,
    "predicted_iou",
)  # what tables of an earlier version may lack


def write_cases(cases: pd.DataFrame, path: Path, made_from: Mapping[str, Any]) -> None:
    """Write the table, its provenance and settings in its metadata, atomically."""
    write_case_groups([cases], path, made_from)


def write_case_groups(groups: Iterable[pd.DataFrame], path: Path, made_from: Mapping[str, Any]) -> None:
    """The same of parts of the table below each other, each a row group; one at a time is in memory."""
    tables = (pa.Table.from_pandas(each, schema=CASES_SCHEMA, preserve_index=False) for each in groups)
    write_row_groups(path, tables, CASES_SCHEMA, made_from)


def read_cases(
    path: Path, needed: Collection[str] = (), most_masks: int | None = None
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The table, with the columns of CASES_SCHEMA, and what it was made from.

    Scores that an earlier version did not know are undefined; masks are null where `most_masks` is stated and
    there are more cases. Raises UserError where the file is missing, is not Parquet, has other columns, lacks one
    of the scores `needed` or has an expression twice.
    """
    many = most_masks is not None and number_of_rows(path, _REMEDY) > most_masks
    columns = [name for name in CASES_SCHEMA.names if name not in MASKS] if many else None
    table, made_from = read_parquet(path, _REMEDY, columns)
    for name in MASKS if many else ():
        table = table.append_column(name, pa.nulls(len(table), pa.string()))
    if absent := [score for score in needed if score not in table.column_names]:
        raise UserError(f"{path} was written by a version that did not know {absent[0]}; score again.")
    if made_from is None or not (table := _completed(table)).schema.equals(CASES_SCHEMA):
        raise UserError(f"{path} has other columns than this version of RefVessel writes; score again.")
    # Of many the Arrow table is freed column by column.
    cases = table.to_pandas(split_blocks=many, self_destruct=many)
    if cases["sent_id"].duplicated().any():
        raise UserError(f"{path} has an expression twice; score again.")
    return cases, made_from


def read_hashed_cases(
    path: Path, columns: Collection[str], scores: Collection[str]
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Columns, MASKS and scores of `read_cases`, with a hash in the place of each mask, which equal ones share.

    A few masks at a time are in memory.
    """
    cases, made_from = read_cases(path, sorted(scores), most_masks=0)
    hashed: dict[str, list[str | None]] = {name: [] for name in MASKS}
    for table in row_groups(path, MASKS):
        for name, found in hashed.items():
            found += map(_hash, table[name].to_pylist())
    hashes = {name: pd.array(found, "str") for name, found in hashed.items()}
    return cases.assign(**hashes)[list(dict.fromkeys([*columns, *MASKS, *sorted(scores)]))], made_from


def _hash(text: str | None) -> str | None:
    return None if text is None else hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def read_masks(path: Path, sent_ids: Collection[int]) -> pd.DataFrame:
    """`sent_id` and MASKS of some cases of a table that `read_cases` has read."""
    table = parquet.read_table(path, columns=["sent_id", *MASKS], filters=[("sent_id", "in", list(sent_ids))])
    return table.to_pandas()


def _completed(table: pa.Table) -> pa.Table:
    """The table with nulls for the scores that its version did not know, in the order of the schema."""
    for name in _KNOWN_LATER:
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(len(table), CASES_SCHEMA.field(name).type))
    if set(table.column_names) != set(CASES_SCHEMA.names):
        return table
    return table.select(CASES_SCHEMA.names)
