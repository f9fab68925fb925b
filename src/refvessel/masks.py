"""Binary masks and their COCO run-length form.

A mask is a uint8 array of shape (height, width) with values 0 and 1. Its RLE is a dict
`{"size": [height, width], "counts": str}`: column-major run lengths in COCO's compressed ASCII form,
as `pycocotools.mask` reads and writes them.
"""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from pycocotools import mask as coco


class RLE(TypedDict):
    """A run-length encoded mask; JSON-serialisable."""

    size: list[int]  # height, width
    counts: str


def encode(mask: np.ndarray) -> RLE:
    """Encode a (height, width) array; every non-zero pixel is foreground."""
    encoded = coco.encode(np.asfortranarray(mask != 0, dtype=np.uint8))
    return _as_text(encoded)


def decode(rle: RLE) -> np.ndarray:
    """Decode to a C-ordered uint8 array of shape (height, width), values 0 and 1."""
    return np.ascontiguousarray(coco.decode(rle))


def empty(height: int, width: int) -> RLE:
    """The RLE of a mask without foreground."""
    return encode(np.zeros((height, width), np.uint8))


def union(rles: Sequence[RLE]) -> RLE:
    """The union of one or more masks of one size."""
    return _as_text(coco.merge(list(rles), intersect=False))


def area(rle: RLE) -> int:
    """Number of foreground pixels."""
    return int(coco.area(rle))


def _as_text(rle: dict) -> RLE:
    counts = rle["counts"]
    return {
        "size": [int(side) for side in rle["size"]],
        "counts": counts.decode("ascii") if isinstance(counts, bytes) else counts,
    }
