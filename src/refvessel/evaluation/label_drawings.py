"""A sample of truths as they could as well have been drawn: what no model can be expected to agree with better."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import ndimage

from refvessel import rle
from refvessel.dataset.regions.polygons import Outlines, rasterise
from refvessel.dataset.regions.rasterisers import draw_by_others
from refvessel.dataset.tree.expressions import Expression
from refvessel.metrics.bootstrap import SEED
from refvessel.metrics.label_ceiling import JITTERED, THINNER, WIDER

Drawings = dict[str, dict[int, rle.RLE]]  # way of drawing -> sent_id -> mask


def draw_again(
    expressions: Sequence[Expression],
    outlines: Mapping[int, Outlines],
    *,
    sample: int,
    annotator_pixel: float,
) -> Drawings:
    """Each of a sample of truths drawn in several other ways; the same expressions give the same drawings.

    Where a truth was drawn from polygons: JITTERED, each corner moved in x and in y by at most `annotator_pixel`,
    evenly distributed; and by the name of each other rasteriser. Of all: WIDER and THINNER by one pixel to each
    side; at the image's border a vessel goes on.

    Args:
        expressions: of a split; those without foreground are left out.
        outlines: polygons by ref_id, of the truths that were drawn from them.
        sample: at most so many expressions, of the images whose ids have the smallest SHA-256.
        annotator_pixel: pixels of the image.
    """
    drawn: Drawings = defaultdict(dict)
    for each in _sampled(expressions, sample):
        mask = rle.decode(each.truth).astype(bool)
        drawn[WIDER][each.sent_id] = rle.encode(ndimage.binary_dilation(mask))
        drawn[THINNER][each.sent_id] = rle.encode(ndimage.binary_erosion(mask, border_value=1))
        if polygons := outlines.get(each.ref_id):
            drawn[JITTERED][each.sent_id] = _jittered(polygons, annotator_pixel, mask.shape, each.sent_id)
            for name, other in draw_by_others(polygons, (each.height, each.width)).items():
                drawn[name][each.sent_id] = rle.encode(other)
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
