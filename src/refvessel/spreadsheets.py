"""CSV files that stay data in a spreadsheet.

A spreadsheet takes a cell that begins with =, +, -, @ or a tab for a formula, and phrases and names come from
files of others. Such text gets an apostrophe in front, as OWASP advises against CSV injection; numbers stay
numbers. `read_csv` takes it away again.
"""

import re
from collections.abc import Collection
from pathlib import Path

import pandas as pd

# Also the full-width forms, which some spreadsheets take for the same. Where apostrophes stand before all that,
# one more is written, since one is taken away in reading.
_FORMULA = re.compile(r"'*(?:[\t\n]|[\s\x00-\x1f\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20])")


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table without its index: floats in full precision, text that could be a formula as text."""
    texts = table.select_dtypes(exclude="number").columns
    safe = table.assign(**{name: table[name].map(_as_text, na_action="ignore") for name in texts})
    safe.to_csv(path, index=False, lineterminator="\n")


def read_csv(path: Path, texts: Collection[str]) -> pd.DataFrame:
    """A table that `write_csv` wrote; the columns `texts` are text whatever they look like, the others numbers."""
    numbers = [name for name in pd.read_csv(path, nrows=0).columns if name not in texts]
    table = pd.read_csv(
        path,
        dtype=dict.fromkeys(texts, str),
        keep_default_na=False,  # a model may be called NA
        na_values={name: [""] for name in numbers},
    )
    return table.assign(**{name: table[name].map(_as_it_was) for name in texts})


def _as_text(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    # A lone carriage return would end the line, and what follows it begin a cell.
    lines = cell.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{lines}" if _FORMULA.match(lines) else lines


def _as_it_was(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
