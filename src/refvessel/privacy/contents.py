"""What a file says: its text, and the text in archives, tables, images' metadata and embedded files."""

import base64
import binascii
import bz2
import gzip
import html
import io
import lzma
import re
import tarfile
import urllib.parse
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import ExifTags, Image, ImageSequence, UnidentifiedImageError

from refvessel.image_files import identify

_DEEPEST = 6  # archives in archives
_LARGEST = 1 << 30  # bytes of one file or member
# The run lengths of masks look like words and say nothing; embedded files are searched decoded.
_RUN_LENGTHS = re.compile(r'counts(?:\\*"|"")?\s*:\s*(?:\\*"|"")[0-o\\]*')
_EMBEDDED = re.compile(r"[A-Za-z0-9+/]{80,}={0,2}")
# First bytes of what holds text that only its own programs unpack.
_CLOSED = {
    b"%PDF-": "a PDF document",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a RAR archive",
    b"\x28\xb5\x2f\xfd": "compressed by Zstandard",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
}
_CONTROL = re.compile(rb"[\0-\x08\x0e-\x1a\x1c-\x1f\x7f]")  # characters that no text has
_JSON_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


class Unsearchable(Exception):
    """A file that cannot be searched; its text says why."""


@dataclass(frozen=True)
class Said:
    """A piece of text and where it stands; `guessed` where it comes from bytes that need not be text."""

    where: str
    text: str
    guessed: bool = False


def said_in(path: Path, where: str) -> Iterator[Said]:
    """All that the file at `path` says, its name left aside; raises Unsearchable where it does not open."""
    size = path.stat().st_size
    if size > _LARGEST:
        raise Unsearchable(f"it is larger than {_LARGEST >> 20} MB")
    try:
        yield from _said(path.read_bytes(), where, 0)
    except OSError as error:
        raise Unsearchable(f"it cannot be read ({error.strerror or error})") from None


def _said(content: bytes, where: str, depth: int) -> Iterator[Said]:
    if depth > _DEEPEST:
        raise Unsearchable(f"it holds archives more than {_DEEPEST} deep")
    for magic, kind in _CLOSED.items():
        if content.startswith(magic):
            raise Unsearchable(f"it is {kind}, which is not opened")
    if content.startswith(b"PK\x03\x04"):
        yield from _said_in_zip(content, where, depth)
    elif content.startswith(b"PAR1"):
        yield from _said_in_parquet(content, where)
    elif content[257:262] == b"ustar":
        yield from _said_in_tar(content, where, depth)
    elif (unpacked := _decompressed(content)) is not None:
        yield from _said(unpacked, where, depth + 1)
    elif (text := _as_text(content)) is not None:
        yield from _said_in_text(text, where, depth)
    else:
        yield from _said_in_image(content, where)
        yield Said(where, content.decode("latin-1"), guessed=True)
        yield Said(where, content.decode("utf-8", "replace"), guessed=True)
        yield Said(where, content.decode("utf-16-le", "replace"), guessed=True)


def _said_in_text(text: str, where: str, depth: int) -> Iterator[Said]:
    for embedded in _EMBEDDED.findall(text):
        try:
            yield from _said(base64.b64decode(embedded), f"{where}, embedded", depth + 1)
        except binascii.Error:
            continue  # not base64, so it stays in the text
    bare = _RUN_LENGTHS.sub(" ", _EMBEDDED.sub(_without_embedded, text))
    yield Said(where, bare)
    decoded = _JSON_ESCAPE.sub(lambda match: chr(int(match[1], 16)), bare)
    decoded = html.unescape(urllib.parse.unquote(decoded))
    if decoded != bare:
        yield Said(where, decoded)


def _without_embedded(match: re.Match) -> str:
    try:
        base64.b64decode(match[0])
    except binascii.Error:
        return match[0]
    return " "


def _said_in_zip(content: bytes, where: str, depth: int) -> Iterator[Said]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            yield Said(where, archive.comment.decode("utf-8", "replace"))
            for member in archive.infolist():
                inside = f"{where}, member {member.filename}"
                yield Said(inside, member.filename)
                yield Said(inside, member.comment.decode("utf-8", "replace"))
                if member.file_size > _LARGEST:
                    raise Unsearchable(f"its member {member.filename} is larger than {_LARGEST >> 20} MB")
                yield from _said(archive.read(member), inside, depth + 1)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise Unsearchable(f"it is a zip archive that does not open ({error})") from None


def _said_in_tar(content: bytes, where: str, depth: int) -> Iterator[Said]:
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for member in archive:
                inside = f"{where}, member {member.name}"
                yield Said(inside, f"{member.name}\n{member.linkname}\n{member.uname}\n{member.gname}")
                if (stream := archive.extractfile(member)) is not None:
                    yield from _said(stream.read(), inside, depth + 1)
    except tarfile.TarError as error:
        raise Unsearchable(f"it is a tar archive that does not open ({error})") from None


def _said_in_parquet(content: bytes, where: str) -> Iterator[Said]:
    try:
        file = pq.ParquetFile(io.BytesIO(content))
        yield Said(where, "\n".join(file.schema_arrow.names))
        for key, value in (file.metadata.metadata or {}).items():
            if key != b"ARROW:schema":
                yield from _said(value, f"{where}, metadata {key.decode('utf-8', 'replace')}", 0)
        for batch in file.iter_batches():
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                values = "\n".join(str(value) for value in column.to_pylist() if value is not None)
                yield from _said_in_text(values, f"{where}, column {name}", 0)
    except (pa.ArrowException, OSError) as error:
        raise Unsearchable(f"it is a Parquet file that does not open ({error})") from None


def _said_in_image(content: bytes, where: str) -> Iterator[Said]:
    pieces: list[str] = []
    try:
        image = identify(io.BytesIO(content))
        for page in ImageSequence.Iterator(image):
            page.load()  # text may follow the pixels
            pieces += _metadata(page)
    except UnidentifiedImageError:
        return
    # Damaged files make Pillow's decoders raise nearly anything.
    except Exception as error:
        raise Unsearchable(f"it is an image that does not open ({error})") from None
    yield Said(f"{where}, metadata", "\n".join(pieces))


def _metadata(image: Image.Image) -> Iterator[str]:
    """The texts of an image, or of one page of it."""
    yield from (f"{key}\n{_plain(value)}" for key, value in image.info.items())
    exif = image.getexif()
    for tags in (exif, *(exif.get_ifd(directory) for directory in ExifTags.IFD)):
        yield from map(_plain, tags.values())
    yield from map(_plain, dict(getattr(image, "tag_v2", {})).values())
    yield from (_plain(body) for _, body in getattr(image, "applist", []))  # JPEG's segments, each comment


def _plain(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace") + "\n" + value.decode("utf-16-le", "replace")
    text = str(value)
    # Pillow reads tags byte by byte, programs write UTF-8 into them.
    return text + "\n" + text.encode("latin-1", "replace").decode("utf-8", "replace")


def _decompressed(content: bytes) -> bytes | None:
    for magic, module in ((b"\x1f\x8b", gzip), (b"BZh", bz2), (b"\xfd7zXZ\x00", lzma)):
        if content.startswith(magic):
            try:
                with module.open(io.BytesIO(content)) as stream:
                    unpacked = stream.read(_LARGEST + 1)
            except (OSError, EOFError, lzma.LZMAError) as error:
                raise Unsearchable(f"it is compressed and does not open ({error})") from None
            if len(unpacked) > _LARGEST:
                raise Unsearchable(f"it unpacks to more than {_LARGEST >> 20} MB")
            return unpacked
    return None


def _as_text(content: bytes) -> str | None:
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        # Bytes without control characters are text in the one-byte code of Windows and its like.
        return None if _CONTROL.search(content) else content.decode("cp1252", "replace")
    return None if "\0" in text else text
