"""Truths as they could as well have been drawn: by other rasterisers, and a sample of them in more ways.

No model can be expected to agree better with a truth than the truth does with itself, drawn again.
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

from refvessel import rle
from refvessel.dataset.regions.polygons import Outlines, rasterise
from refvessel.dataset.regions.rasterisers import draw_by_others, sampled
from refvessel.dataset.tree.expressions import Expression
from refvessel.errors import UserError
from refvessel.metrics.bootstrap import SEED
from refvessel.metrics.label_ceiling import JITTERED, THINNER, WIDER

Drawings = dict[str, dict[int, rle.RLE]]  # way of drawing -> sent_id -> mask


class PolygonTruths:
    """The truths that were drawn from polygons, which `outlines` has by ref_id; each is drawn again once."""

    def __init__(self, outlines: Mapping[int, Outlines]) -> None:
        self.outlines = outlines
        self._by_others: dict[int, dict[str, rle.RLE]] = {}

    def by_others(self, each: Expression) -> dict[str, rle.RLE]:
        """A truth by the name of each other rasteriser."""
        if each.ref_id not in self._by_others:
            drawn = draw_by_others(self.outlines[each.ref_id], (each.height, each.width))
            self._by_others[each.ref_id] = {name: rle.encode(mask) for name, mask in drawn.items()}
        return self._by_others[each.ref_id]


def draw_by_each_rasteriser(expressions: Sequence[Expression], truths: PolygonTruths, path: Path) -> Drawings:
    """By rasteriser, the truths of a sample of the images whose truths were drawn from polygons.

    Args:
        expressions: of a split.
        truths: those of them that were drawn from polygons.
        path: where the polygons stand, for error messages.

    Raises UserError where a truth was not drawn from its polygons.
    """
    from_polygons = [each for each in expressions if each.ref_id in truths.outlines]
    sample = sampled({each.image_id for each in from_polygons})
    drawings: Drawings = defaultdict(dict)
    for each in (each for each in from_polygons if each.image_id in sample):
        size = each.height, each.width
        drawn = (rasterise(polygon, *size) for polygon in truths.outlines[each.ref_id])
        if rle.union([rle.empty(*size), *drawn]) != each.truth:
            raise UserError(
                f"{path} has other polygons for ref {each.ref_id} than its truth was drawn from; convert the "
                "dataset again."
            )
        for name, mask in truths.by_others(each).items():
            drawings[name][each.sent_id] = mask
    return drawings


def draw_again(
    expressions: Sequence[Expression], truths: PolygonTruths, *, sample: int, annotator_pixel: float
) -> Drawings:
    """Each of a sample of truths drawn in several other ways; the same expressions give the same drawings.

    Where a truth was drawn from polygons: JITTERED, each corner moved in x and in y by at most `annotator_pixel`,
    evenly distributed; and by the name of each other rasteriser. Of all: WIDER and THINNER by one pixel to each
    side; at the image's border a vessel goes on.

    Args:
        expressions: of a split; those without foreground are left out.
        truths: those of them that were drawn from polygons.
        sample: at most so many expressions, of the images whose ids have the smallest SHA-256.
        annotator_pixel: pixels of the image.
    """
    drawn: Drawings = defaultdict(dict)
    for each in _sampled(expressions, sample):
        mask = rle.decode(each.truth).astype(bool)
        drawn[WIDER][each.sent_id] = rle.encode(ndimage.binary_dilation(mask))
        drawn[THINNER][each.sent_id] = rle.encode(ndimage.binary_erosion(mask, border_value=1))
        if polygons := truths.outlines.get(each.ref_id):
            drawn[JITTERED][each.sent_id] = _jittered(polygons, annotator_pixel, mask.shape, each.sent_id)
            for name, other in truths.by_others(each).items():
                drawn[name][each.sent_id] = other
    return dict(drawn)


def _sampled(expressions: Sequence[Expression], most: int) -> list[Expression]:
    def place(each: Expression) -> tuple[bytes, int]:
        return hashlib.sha256(each.image_id.encode()).digest(), each.sent_id

    return sorted((each for each in expressions if rle.area(each.truth)), key=place)[:most]


def _jittered(polygons: Outlines, pixel: float, shape: tuple[int, ...], sent_id: int) -> rle.RLE:
    """The union of polygons whose every corner is moved at random."""
    height, width = shape
    random = np.random.default_rng((SEED, sent_id))
    moved = (polygon + random.uniform(-pixel, pixel, polygon.shape) for polygon in polygons)
    return rle.union([rle.empty(height, width), *(rasterise(polygon, height, width) for polygon in moved)])
