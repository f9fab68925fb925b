"""The texts in binary files: strings of pickles, arrays and DICOM files, and runs of characters in all others."""

import io
import json
import pickletools
import re
import struct
from collections.abc import Iterator

import numpy as np
import pydicom

_RUN = 12  # characters from which on bytes are more likely text than chance
_UTF8_RUNS = re.compile(rb"(?:[\x20-\x7e]|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}){%d,}" % _RUN)
_SHORT_RUNS = re.compile(rb"(?:[\x20-\x7e\xc0-\xff]|[\xc2-\xf4][\x80-\xbf]+){8,}")
_WIDE_RUNS = {
    "utf-16-le": re.compile(rb"(?:[\x20-\x7e]\0){6,}"),
    "utf-16-be": re.compile(rb"(?:\0[\x20-\x7e]){6,}"),
    "utf-32-le": re.compile(rb"(?:[\x20-\x7e]\0\0\0){6,}"),
    "utf-32-be": re.compile(rb"(?:\0\0\0[\x20-\x7e]){6,}"),
}


def texts_of_binary(content: bytes) -> list[str]:
    """The strings of a file by its format, where that is known, and else its runs of characters."""
    found = list(_strings(content))
    found += [run.decode("utf-8", "replace") for run in _UTF8_RUNS.findall(content)]
    zero = np.frombuffer(content, np.uint8) == 0
    # Compressed pixels have none of them, and looking for runs takes long.
    wide = len(zero) > 10 and bool((zero[:-10] & zero[2:-8] & zero[4:-6] & zero[6:-4] & zero[8:-2]).any())
    for encoding, pattern in _WIDE_RUNS.items() if wide else ():
        found += [run.decode(encoding) for run in pattern.findall(content)]
    return found


def runs_of_characters(content: bytes) -> Iterator[str]:
    """Shorter runs of what may be text, in UTF-8 or in a one-byte code; most of them mean nothing."""
    for run in _SHORT_RUNS.findall(content):
        yield run.decode("latin-1")
        yield run.decode("utf-8", "replace")


def json_header(content: bytes) -> bytes | None:
    """The header of a safetensors file, whose tensors hold no text; None of other files."""
    if len(content) < 10 or content[8:9] != b"{":
        return None
    (length,) = struct.unpack("<Q", content[:8])
    header = content[8 : 8 + length]
    try:
        json.loads(header)
    except (ValueError, RecursionError):
        return None
    return header if length <= len(content) - 8 else None


def _strings(content: bytes) -> Iterator[str]:
    if content[:1] == b"\x80" and content[1:2] <= b"\x05":
        yield from _strings_of_pickle(content)
    elif content.startswith(b"\x93NUMPY"):
        yield from _strings_of_array(content)
    elif content[128:132] == b"DICM":
        yield from _strings_of_dicom(content)


def _strings_of_pickle(content: bytes) -> Iterator[str]:
    try:
        for _, argument, _ in pickletools.genops(content):
            if isinstance(argument, str):
                yield argument
            elif isinstance(argument, bytes | bytearray):
                yield bytes(argument).decode("utf-8", "replace")
    except Exception:
        return


def _strings_of_array(content: bytes) -> Iterator[str]:
    try:
        array = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, OSError, EOFError):  # of objects: searched as bytes
        return
    if array.dtype.kind in "US":
        yield from (str(value) for value in np.unique(array))


def _strings_of_dicom(content: bytes) -> Iterator[str]:
    try:
        for element in pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True).iterall():
            yield str(element.value)
    except Exception:
        return
