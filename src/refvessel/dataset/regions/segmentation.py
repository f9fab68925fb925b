"""COCO segmentations, ours and others': their parts as shapes, and all of them as one RLE."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco

from refvessel import rle
from refvessel.dataset.fields import of_kind, require, shown
from refvessel.dataset.regions.polygons import as_polygon
from refvessel.dataset.regions.shapes import Page, Polygon, Runs
from refvessel.errors import UserError


def read_shapes(segmentation: Any, height: int, width: int, where: str) -> tuple[Polygon | Runs, ...]:
    """A segmentation's parts: polygons, or RLEs with compressed or plain counts, or a bare RLE.

    Raises UserError, opening with `where`, for other forms and for RLEs that do not cover height x width.
    """
    parts = [segmentation] if isinstance(segmentation, dict) else of_kind(segmentation, list, where)
    return tuple(
        Runs(read_run_lengths(part, height, width, where))
        if isinstance(part, dict)
        else Polygon(as_polygon(part, where))
        for part in parts
    )


def unite(shapes: Sequence[Polygon | Runs], height: int, width: int, where: str) -> rle.RLE:
    """The union of shapes; raises UserError, opening with `where`, where one lies outside height x width."""
    page = Page((width, height), (width, height), where, crossings=False)
    rles = [shape.draw(page).mask for shape in shapes]
    return rle.union(rles) if rles else rle.empty(height, width)


def read_segmentation(segmentation: Any, height: int, width: int, where: str) -> rle.RLE:
    """The union of a segmentation's parts; raises what `read_shapes` and `unite` raise."""
    return unite(read_shapes(segmentation, height, width, where), height, width, where)


def read_run_lengths(part: dict[str, Any], height: int, width: int, where: str) -> rle.RLE:
    """An RLE with compressed or plain counts; raises UserError where it does not cover height x width."""
    if require(part, "size", list, where) != [height, width]:
        raise UserError(
            f"{where}: its RLE is of size {shown(part['size'])}, the image of [{height}, {width}]; correct it."
        )
    counts = part.get("counts")
    if isinstance(counts, list) and all(type(run) is int and 0 <= run <= height * width for run in counts):
        runs = np.array(counts, np.int64)
    elif isinstance(counts, str):
        runs = rle.run_lengths(counts)
    else:
        raise UserError(
            f"{where}: the counts of its RLE are neither text nor whole numbers of its pixels; correct them."
        )
    if runs is None or (runs < 0).any() or runs.sum() != height * width:
        raise UserError(f"{where}: its RLE does not cover {height} x {width} pixels; replace it.")
    if isinstance(counts, list):
        part = coco.frPyObjects({"size": [height, width], "counts": counts}, height, width)
    return rle.union([part])
