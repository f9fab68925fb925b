"""The cells of CSV and LaTeX tables and the values of JSON documents, each with its column or key."""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from refvessel.privacy.normal import normal_form
from refvessel.privacy.pieces import HEADER, IDENTIFYING, Piece, field_of_number

_DELIMITERS = ",;\t|"
_COMMAND = re.compile(
    r"\\(?:begin|end|label|documentclass|usepackage)\b(?:\[[^\]]*\])?\{[^}]*\}(?:\[[^\]]*\])?"
    r"(?:\{[lcr|@p ]*\})?|\\[A-Za-z]+"
)
_CELL = re.compile(r"(?<!\\)&")
_UNSEEN = re.compile(r"\\allowbreak(?:\{\}| )|\\-")  # of LaTeX, within words


def pieces_of_csv(text: str, where: str) -> Iterator[Piece]:
    """A piece for the names of the columns, and one per column: its distinct cells, one per line."""
    first = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    csv.field_size_limit(1 << 30)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error:
        yield Piece(where, text)
        return
    header = rows[0] if rows else []
    yield Piece(where, _lines(header), HEADER)
    for column in range(max(map(len, rows), default=0)):
        name = header[column] if column < len(header) else ""
        cells = dict.fromkeys(row[column] for row in rows[1:] if column < len(row))
        yield Piece(f"{where}, column {column + 1}", _lines(cells), name)


def pieces_of_json(text: str, where: str) -> Iterator[Piece] | None:
    """The keys and values of a document; None where the text is not JSON, or is too deep to be walked."""
    try:
        return iter(list(_walk(json.loads(text), where, "")))
    except (ValueError, RecursionError):
        return None


def pieces_of_latex(text: str, where: str) -> Iterator[Piece]:
    """The cells of tables, and the other lines as running text, without commands."""
    header: list[str] = []
    for line in _UNSEEN.sub("", text).splitlines():
        cells = [_COMMAND.sub(" ", cell) for cell in _CELL.split(line.removesuffix(r"\\").rstrip("\\ "))]
        if len(cells) == 1:
            yield Piece(where, cells[0].replace("{", " ").replace("}", " "))
        elif not header:
            header = cells
            yield Piece(where, _lines(cells), HEADER)
        else:
            for column, cell in enumerate(cells):
                yield Piece(where, cell, header[column] if column < len(header) else "")


def _walk(value: Any, where: str, field: str) -> Iterator[Piece]:
    if isinstance(value, dict):
        for key, each in value.items():
            of_persons = normal_form(field).removeprefix("by ") in IDENTIFYING  # by_patient
            yield Piece(where, key.replace("\n", " "), field if of_persons else HEADER, quoted=True)
            yield from _walk(each, where, key)
    elif isinstance(value, list):
        for each in value:
            yield from _walk(each, where, field)
    elif isinstance(value, str):
        if field != "counts":  # run lengths
            yield Piece(where, value, field, quoted=True)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield Piece(where, str(value), field_of_number(field, value))


def _lines(cells: Iterable[str]) -> str:
    return "\n".join(cell.replace("\n", " ").replace("\r", " ") for cell in cells)
