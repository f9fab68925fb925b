"""COCO segmentations as found in trees, ours and others', turned into one RLE."""

from typing import Any

import numpy as np
from pycocotools import mask as coco

from refvessel import masks
from refvessel.dataset.fields import of_kind, require
from refvessel.dataset.polygons import as_polygon, rasterise
from refvessel.errors import UserError


def read_segmentation(segmentation: Any, height: int, width: int, where: str) -> masks.RLE:
    """The union of a segmentation's parts: polygons, or RLEs with compressed or plain counts, or a bare RLE.

    Raises UserError, opening with `where`, for other forms and for RLEs that do not cover height x width.
    """
    parts = [segmentation] if isinstance(segmentation, dict) else of_kind(segmentation, list, where)
    rles = [
        _read_rle(part, height, width, where)
        if isinstance(part, dict)
        else rasterise(as_polygon(part, where), height, width)
        for part in parts
    ]
    return masks.union(rles) if rles else masks.empty(height, width)


def _read_rle(rle: dict, height: int, width: int, where: str) -> masks.RLE:
    if require(rle, "size", list, where) != [height, width]:
        raise UserError(
            f"{where}: its RLE is of size {rle['size']}, the image of [{height}, {width}]; correct it."
        )
    counts = rle.get("counts")
    if isinstance(counts, list) and all(type(run) is int and run >= 0 for run in counts):
        runs = np.array(counts, np.int64)
    elif isinstance(counts, str) and counts.isascii():
        runs = _decompress(counts)
    else:
        raise UserError(f"{where}: the counts of its RLE are neither text nor whole numbers; correct them.")
    # pycocotools leaves pixels that no run covers uninitialised, and writes past the mask's end for others.
    if (runs < 0).any() or runs.sum() != height * width:
        raise UserError(f"{where}: its RLE does not cover {height} x {width} pixels; replace it.")
    if isinstance(counts, list):
        rle = coco.frPyObjects({"size": [height, width], "counts": counts}, height, width)
    return masks.union([rle])


def _decompress(counts: str) -> np.ndarray:
    """The run lengths, int64, in COCO's compressed text; [-1] for text that is not in this form.

    Each number is little-endian in digits of five bits above the character `0`; bit 5 says that another digit
    follows, bit 4 of the last one is the sign. From the fourth number on it is the difference to the last but one.
    """
    digits = np.frombuffer(counts.encode("ascii"), np.uint8).astype(np.int64) - ord("0")
    last = (digits & 0x20) == 0
    if not digits.size or digits.min() < 0 or digits.max() > 0x3F or not last[-1]:
        return np.array([-1])
    starts = np.flatnonzero(np.concatenate([[True], last[:-1]]))
    places = np.arange(len(digits)) - np.repeat(starts, np.diff(starts, append=len(digits)))
    if places.max() > 7:  # longer than any run of a real image, and the shift below would overflow
        return np.array([-1])
    numbers = np.add.reduceat((digits & 0x1F) << (5 * places), starts)
    signs = (digits[last] & 0x10) != 0
    numbers = numbers - (signs.astype(np.int64) << (5 * (places[last] + 1)))
    runs = numbers.copy()
    runs[1::2] = np.cumsum(numbers[1::2])
    runs[2::2] = np.cumsum(numbers[2::2])
    return runs
