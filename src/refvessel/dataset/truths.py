"""The truth masks of one image: a union of regions for every phrase."""

from collections.abc import Mapping
from dataclasses import dataclass

from refvessel import masks
from refvessel.dataset.polygons import overhangs, rasterise, scale
from refvessel.dataset.readers.records import Record


@dataclass(frozen=True)
class Truths:
    """Masks by phrase, and what happened to the regions on the way."""

    by_phrase: dict[str, masks.RLE]
    scaled: bool  # the stated size was not the real one
    regions_clipped: int
    regions_without_pixels: int  # too thin for the rasteriser


def draw_truths(record: Record, phrases: Mapping[str, str], size: tuple[int, int], *, empty: bool) -> Truths:
    """Rasterise a record's regions on its image of `size` (width, height) and unite them by phrase.

    `phrases` maps labels to phrases. With `empty`, a phrase without a region gets an empty mask; without, none.
    Raises UserError for regions outside the image.
    """
    width, height = size
    parts: dict[str, list[masks.RLE]] = {phrase: [] for phrase in phrases.values()}
    clipped = without_pixels = 0
    for region in record.regions:
        polygon = scale(region.polygon, record.stated_size, size)
        clipped += overhangs(polygon, size, stated=record.stated_size is not None, what=region.where)
        mask = rasterise(polygon, height, width)
        if masks.area(mask):
            parts[phrases[region.label]].append(mask)
        else:
            without_pixels += 1
    truths = {phrase: masks.union(drawn) for phrase, drawn in parts.items() if drawn}
    if empty:
        truths |= {phrase: masks.empty(height, width) for phrase, drawn in parts.items() if not drawn}
    return Truths(truths, record.stated_size not in (None, size), clipped, without_pixels)
