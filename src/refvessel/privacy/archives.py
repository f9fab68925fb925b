"""The members of archives, and what compressed files unpack to."""

import bz2
import gzip
import io
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from refvessel.privacy.pieces import Unsearchable

LARGEST = 1 << 30  # bytes of one file or member
_COMPRESSED = ((b"\x1f\x8b", gzip), (b"BZh", bz2), (b"\xfd7zXZ\x00", lzma))
_ZLIB = re.compile(rb"\x78[\x01\x5e\x9c\xda]")
_MOST_STREAMS = 10_000  # looked for in one file


@dataclass(frozen=True)
class Member:
    """A file in an archive: its name, what else the archive says of it, and its bytes."""

    name: str
    said: str
    content: bytes


def members_of_zip(content: bytes) -> Iterator[Member]:
    """The members of a zip archive; the archive's own comment comes first, as a member without a name."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            yield Member("", archive.comment.decode("utf-8", "replace"), b"")
            for member in archive.infolist():
                if member.file_size > LARGEST:
                    raise Unsearchable(f"its member {member.filename} is larger than {LARGEST >> 20} MB")
                said = f"{member.filename}\n{member.comment.decode('utf-8', 'replace')}"
                yield Member(member.filename, said, archive.read(member))
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, zlib.error) as error:
        raise Unsearchable(f"it is a zip archive that does not open ({error})") from None


def members_of_tar(content: bytes) -> Iterator[Member]:
    """The members of a tar archive."""
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for member in archive:
                said = f"{member.name}\n{member.linkname}\n{member.uname}\n{member.gname}"
                stream = archive.extractfile(member) if member.isfile() else None
                yield Member(member.name, said, stream.read(LARGEST) if stream else b"")
    except tarfile.TarError as error:
        raise Unsearchable(f"it is a tar archive that does not open ({error})") from None


def decompressed(content: bytes) -> bytes | None:
    """What a gzip, bzip2, xz or zlib file unpacks to; None where it is none."""
    for magic, module in _COMPRESSED:
        if content.startswith(magic):
            try:
                with module.open(io.BytesIO(content)) as stream:
                    unpacked = stream.read(LARGEST + 1)
            except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
                raise Unsearchable(f"it is compressed and does not open ({error})") from None
            if len(unpacked) > LARGEST:
                raise Unsearchable(f"it unpacks to more than {LARGEST >> 20} MB")
            return unpacked
    return _inflated(content) if _ZLIB.match(content) else None


def zlib_streams(content: bytes) -> Iterator[bytes]:
    """What the zlib streams anywhere in a file unpack to."""
    end = 0
    for number, match in enumerate(_ZLIB.finditer(content)):
        if number == _MOST_STREAMS:
            return
        if match.start() >= end:
            stream = zlib.decompressobj()
            if unpacked := _inflated(content[match.start() :], stream):
                end = len(content) - len(stream.unused_data)
                yield unpacked


def _inflated(content: bytes, stream: "zlib._Decompress | None" = None) -> bytes | None:
    stream = zlib.decompressobj() if stream is None else stream
    try:
        unpacked = stream.decompress(content, LARGEST)
    except zlib.error:
        return None
    return unpacked if stream.eof else None
