"""The truth masks of one image: by phrase, the union of its regions or one mask a region."""

from collections.abc import Mapping
from dataclasses import dataclass

from refvessel import masks
from refvessel.dataset.readers.records import Record
from refvessel.dataset.shapes import Page

TARGETS = ("phrase", "region")  # what an expression asks for


@dataclass(frozen=True)
class Truths:
    """Masks by phrase, and what happened to the regions on the way."""

    by_phrase: dict[str, list[masks.RLE]]  # one mask an expression
    ignore: masks.RLE | None  # pixels that no score looks at
    scaled: bool  # the stated size was not the real one
    regions: int
    regions_clipped: int
    regions_without_pixels: int  # too thin for the rasteriser
    regions_crossing_themselves: int


def draw_truths(
    record: Record, phrases: Mapping[str, str], size: tuple[int, int], *, target: str, empty: bool
) -> Truths:
    """Rasterise a record's regions on its image of `size` (width, height).

    `phrases` maps labels to phrases. The target `phrase` unites the regions of a phrase, `region` keeps each. With
    `empty`, a phrase without a region gets an empty mask; without, none.
    Raises UserError for regions outside the image and for masks of another size.
    """
    width, height = size
    regions = [*record.regions, *(region for image in record.label_images for region in image.regions())]
    parts: dict[str, list[masks.RLE]] = {phrase: [] for phrase in phrases.values()}
    asked = set(parts) if empty else set()
    clipped = without_pixels = crossing = 0
    for region in regions:
        phrase = phrases[region.label]
        if not region.shapes:
            asked.add(phrase)  # the annotation says that nothing of this name is there
            continue
        drawn = region.draw(size, record.stated_size)
        clipped += drawn.clipped
        crossing += drawn.crosses_itself
        if not masks.area(drawn.mask):
            without_pixels += 1
            continue
        parts[phrase].append(drawn.mask)
    truths = {
        phrase: [masks.union(drawn)] if target == "phrase" else drawn
        for phrase, drawn in parts.items()
        if drawn
    }
    truths |= {phrase: [masks.empty(height, width)] for phrase in parts if phrase in asked - truths.keys()}
    return Truths(
        truths,
        None if record.ignore is None else _ignored(record, size),
        record.stated_size not in (None, size),
        len(regions),
        clipped,
        without_pixels,
        crossing,
    )


def _ignored(record: Record, size: tuple[int, int]) -> masks.RLE:
    return record.ignore.draw(Page(size, record.stated_size, f"{record.where}: what is ignored")).mask
