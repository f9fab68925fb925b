"""Binary masks and their COCO run-length form.

A mask is a uint8 array of shape (height, width) with values 0 and 1. Its RLE is a dict
`{"size": [height, width], "counts": str}`: column-major run lengths in COCO's compressed ASCII form,
as `pycocotools.mask` reads and writes them.

pycocotools trusts its input: run lengths that do not fill the image make it read or write foreign memory. RLEs
from a file therefore pass through `is_rle` before anything else here sees them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
from pycocotools import mask as coco

MOST_PIXELS = 178_956_970  # of an image: what Pillow opens at most, and far fewer than run lengths can count
FIRST_CHARACTER = 48  # COCO's text form writes six bits a character, from "0" on
DIGIT_BITS = 5  # of the six, which carry the number, the lowest first
CONTINUES, _SIGN = 0x20, 0x10  # of the six bits: one more character follows; the last one's sign
STORED_WHOLE = (
    3  # runs at the beginning; each of the others is stored as the difference to the run before last
)
_MAX_CHARACTERS = 7  # of one run: 35 bits


class RLE(TypedDict):
    """A run-length encoded mask; JSON-serialisable."""

    size: list[int]  # height, width
    counts: str


def encode(mask: np.ndarray) -> RLE:
    """Encode a (height, width) array; every non-zero pixel is foreground."""
    encoded = coco.encode(np.asfortranarray(mask != 0, dtype=np.uint8))
    return as_text(encoded)


def decode(rle: RLE) -> np.ndarray:
    """Decode to a C-ordered uint8 array of shape (height, width), values 0 and 1."""
    return np.ascontiguousarray(coco.decode(rle))


def empty(height: int, width: int) -> RLE:
    """The RLE of a mask without foreground."""
    return encode(np.zeros((height, width), np.uint8))


def union(rles: Sequence[RLE]) -> RLE:
    """The union of one or more masks of one size."""
    return as_text(coco.merge(list(rles), intersect=False))


def area(rle: RLE) -> int:
    """Number of foreground pixels."""
    return int(coco.area(rle))


def is_rle(value: Any) -> bool:
    """Whether `value` is `{"size": [height, width], "counts": str}` with runs that fill the image exactly.

    No image has more than MOST_PIXELS.
    """
    if not (isinstance(value, dict) and isinstance(value.get("counts"), str)):
        return False
    size = value.get("size")
    if not (isinstance(size, list | tuple) and len(size) == 2 and all(type(side) is int for side in size)):
        return False
    height, width = size
    lengths = run_lengths(value["counts"])
    return (
        height > 0
        and width > 0
        and height * width <= MOST_PIXELS
        and lengths is not None
        and lengths.min() >= 0
        and lengths.sum() == height * width
    )


def run_lengths(counts: str) -> np.ndarray | None:
    """The run lengths in `counts`, int64, background first; None where the text cannot be read.

    Each run is a little-endian group of five-bit digits with a sign, and from the fourth run on it is stored
    as the difference to the run before last.
    """
    if not counts or not counts.isascii():
        return None
    digits = np.frombuffer(counts.encode("ascii"), np.uint8) - np.uint8(FIRST_CHARACTER)  # wraps below "0"
    if digits.max() > 63 or digits[-1] & CONTINUES:
        return None
    (last,) = (digits < CONTINUES).nonzero()  # index of each run's last digit
    first = np.concatenate([[0], last[:-1] + 1])
    length = last - first + 1
    if length.max() > _MAX_CHARACTERS:
        return None
    values = (digits & 0x1F).astype(np.int64)
    runs = values[first]
    for place in range(1, length.max()):
        (longer,) = (length > place).nonzero()
        runs[longer] |= values[first[longer] + place] << (DIGIT_BITS * place)
    runs -= (digits[last] & _SIGN).astype(np.int64) * 2 << (
        DIGIT_BITS * (length - 1)
    )  # one bit above the last digit
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs


def as_json(rle: RLE) -> str:
    """The JSON text of an RLE, as `json.dumps` writes it: of the characters of counts, one alone is escaped."""
    height, width = rle["size"]
    counts = rle["counts"].replace("\\", "\\\\")
    return f'{{"size": [{height}, {width}], "counts": "{counts}"}}'


def as_text(rle: Mapping[str, Any]) -> RLE:
    """An RLE as pycocotools returns it, whose counts are bytes, in JSON-serialisable form."""
    counts = rle["counts"]
    return {
        "size": [int(side) for side in rle["size"]],
        "counts": counts.decode("ascii") if isinstance(counts, bytes) else counts,
    }
