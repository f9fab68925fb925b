"""The pieces of text in a file: of its own form, and of the archives, tables and files that it embeds."""

import io
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from refvessel.privacy.archives import (
    LARGEST,
    Member,
    decompressed,
    members_of_tar,
    members_of_zip,
    zlib_streams,
)
from refvessel.privacy.binary import json_header, runs_of_characters, texts_of_binary
from refvessel.privacy.documents import attachments_of_pdf, texts_of_pdf
from refvessel.privacy.encodings import (
    embedded,
    is_printable,
    is_readable,
    readings,
    with_accents,
    without_files,
    without_run_lengths,
)
from refvessel.privacy.image_metadata import texts_of_image, without_scans
from refvessel.privacy.markup import pieces_of_markup
from refvessel.privacy.pieces import HEADER, Piece, Unsearchable, field_of_number
from refvessel.privacy.values import pieces_of_csv, pieces_of_json, pieces_of_latex

_DEEPEST = 6  # archives in archives
_CLOSED = {  # first bytes of what holds text that only its own programs unpack
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a RAR archive",
    b"\x28\xb5\x2f\xfd": "compressed by Zstandard",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
}
_CONTROL = re.compile(rb"[\0-\x08\x0e-\x1a\x1c-\x1f\x7f]")  # characters that no text has
_BYTE_ORDER_MARKS = {
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_WIDE = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
_MARKUP = re.compile(r"\s*<[?!a-zA-Z]")


def pieces_of_file(path: Path, where: str) -> Iterator[Piece]:
    """All that the file at `path` says, its name left aside; raises Unsearchable where it does not open."""
    size = path.stat().st_size
    if size > LARGEST:
        raise Unsearchable(f"it is larger than {LARGEST >> 20} MB")
    try:
        yield from _pieces(path.read_bytes(), where, path.name, 0)
    except OSError as error:
        raise Unsearchable(f"it cannot be read ({error.strerror or error})") from None


def pieces_of_name(name: str, where: str) -> Iterator[Piece]:
    """What the name of a file, a folder or a member says."""
    yield from _expanded([Piece(where, name)], 0)


def _pieces(content: bytes, where: str, name: str, depth: int) -> Iterator[Piece]:
    if depth > _DEEPEST:
        raise Unsearchable(f"it holds archives more than {_DEEPEST} deep")
    for magic, kind in _CLOSED.items():
        if content.startswith(magic):
            raise Unsearchable(f"it is {kind}, which is not opened")
    if content.startswith(b"PK\x03\x04"):
        yield from _of_members(members_of_zip(content), where, depth)
    elif content.startswith(b"PAR1"):
        yield from _of_parquet(content, where, depth)
    elif content.startswith(b"%PDF-"):
        yield from _expanded((Piece(where, text) for text in texts_of_pdf(content)), depth)
        yield from _of_members(attachments_of_pdf(content), where, depth)
    elif content[257:262] == b"ustar":
        yield from _of_members(members_of_tar(content), where, depth)
    elif (unpacked := decompressed(content)) is not None:
        yield from _pieces(unpacked, where, name.removesuffix(".gz"), depth + 1)
    elif (header := json_header(content)) is not None:
        yield from _pieces(header, where, "header.json", depth + 1)
    elif (text := _as_text(content)) is not None:
        yield from _expanded(_of_text(text, where, PurePosixPath(name).suffix.lower()), depth)
    else:
        yield from _of_binary(content, where, depth)


def _of_text(text: str, where: str, suffix: str) -> Iterable[Piece]:
    """The pieces of a text by its form, which its first characters or its suffix tell."""
    if _MARKUP.match(text):
        return pieces_of_markup(text, where)
    if text.lstrip("\ufeff \t\r\n")[:1] in ("{", "["):
        found = pieces_of_json(text, where)
        if found is None and suffix in (".jsonl", ".ndjson"):
            return [piece for line in text.splitlines() for piece in _of_text(line, where, "")]
        if found is not None:
            return found
    if suffix in (".csv", ".tsv"):
        return pieces_of_csv(text, where)
    if suffix == ".tex":
        return pieces_of_latex(with_accents(text), where)
    return [Piece(where, text.replace("\0", "\n"))]


def _expanded(pieces: Iterable[Piece], depth: int) -> Iterator[Piece]:
    """The pieces, what they say without their escapes, and what they embed."""
    for piece in pieces:
        text = without_run_lengths(piece.text)
        for reading in readings(text):
            yield Piece(piece.where, without_files(reading), piece.field, piece.quoted)
            for content in _distinct(embedded(reading)):
                yield from _pieces(content, f"{piece.where}, embedded", "", depth + 1)
        if text[:1] in ("{", "[") and depth <= _DEEPEST and piece.field is not None:
            for cell in text.split("\n"):
                if (inside := pieces_of_json(cell, piece.where)) is not None:
                    yield from _expanded(inside, depth + 1)


def _distinct(contents: Iterable[bytes]) -> Iterable[bytes]:
    return dict.fromkeys(contents)


def _of_members(members: Iterable[Member], where: str, depth: int) -> Iterator[Piece]:
    for member in members:
        inside = f"{where}, member {member.name}" if member.name else where
        yield from pieces_of_name(member.said, inside)
        yield from _pieces(member.content, inside, member.name, depth + 1)


def _of_parquet(content: bytes, where: str, depth: int) -> Iterator[Piece]:
    try:
        file = pq.ParquetFile(io.BytesIO(content))
        yield Piece(where, "\n".join(file.schema_arrow.names), HEADER)
        for key, value in (file.metadata.metadata or {}).items():
            if key != b"ARROW:schema":
                inside = f"{where}, metadata {key.decode('utf-8', 'replace')}"
                yield from _pieces(value, inside, "", depth + 1)
        table = file.read()
        for name, column in zip(table.column_names, table.columns, strict=True):
            cells = _cells(column)
            field = name
            if pa.types.is_integer(column.type) and cells:
                field = field_of_number(name, max(map(abs, map(int, cells))))
            yield from _expanded([Piece(f"{where}, column {name}", "\n".join(cells), field)], depth)
    except (pa.ArrowException, OSError) as error:
        raise Unsearchable(f"it is a Parquet file that does not open ({error})") from None


def _cells(column: pa.ChunkedArray) -> list[str]:
    """The distinct values of a column, without fractions."""
    if pa.types.is_floating(column.type):
        whole = (value for value in pc.unique(column).to_pylist() if value is not None and value == value)
        return [str(int(value)) for value in whole if abs(value) < 1e18 and value == int(value)]
    values = column.to_pylist() if pa.types.is_nested(column.type) else pc.unique(column).to_pylist()
    texts = (
        value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        for value in values
        if value is not None
    )
    return list(dict.fromkeys(text.replace("\n", " ") for text in texts))


def _of_binary(content: bytes, where: str, depth: int) -> Iterator[Piece]:
    metadata = texts_of_image(content)
    if metadata is not None:
        yield from _expanded((Piece(f"{where}, metadata", text) for text in metadata), depth)
        content = without_scans(content)
    elif zipfile.is_zipfile(io.BytesIO(content)):  # behind something else
        yield from _of_members(members_of_zip(content), where, depth)
    else:
        for unpacked in zlib_streams(content):
            if is_readable(unpacked):
                yield from _pieces(unpacked, f"{where}, embedded", "", depth + 1)
    yield from _expanded([Piece(where, _lines(texts_of_binary(content)), "")], depth)
    yield Piece(where, _lines(runs_of_characters(content)), "", guessed=True)


def _lines(texts: Iterable[str]) -> str:
    return "\n".join(text.replace("\n", " ") for text in texts)


def _as_text(content: bytes) -> str | None:
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            return _decoded(content, encoding)
    if b"\0" in content:
        decoded = (_decoded(content, encoding) for encoding in _WIDE)
        # Text read in the wrong byte order is text of another script: all that it may be is searched.
        return "\n".join(text for text in decoded if text is not None and is_printable(text)) or None
    text = _decoded(content, "utf-8")
    # Bytes without control characters are text in the one-byte code of Windows and its like.
    return text if text is not None or _CONTROL.search(content) else content.decode("cp1252", "replace")


def _decoded(content: bytes, encoding: str) -> str | None:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        return None
