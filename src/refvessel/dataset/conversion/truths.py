"""The truth masks of one image: by phrase, the union of its regions or one mask per region."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from refvessel import rle
from refvessel.dataset.problems import Problems
from refvessel.dataset.readers.records import Record
from refvessel.dataset.regions.shapes import Drawn, Page, Region
from refvessel.errors import UserError
from refvessel.settings.dataset_section import CrossingOutlines, Target


@dataclass(frozen=True)
class TruthRule:
    """What an expression asks for, and which outlines are drawn.

    The `target` of an expression is a phrase, with all its regions, or a region. With `include_empty`, a phrase
    without a region on an annotated image becomes an expression with an empty truth. Outlines that cross
    themselves are refused or drawn as COCO draws them, what they enclose twice outside.
    """

    target: Target
    include_empty: bool
    crossing_outlines: CrossingOutlines


@dataclass(frozen=True, slots=True)
class Tally:
    """How many expressions an image has, and what happened to its regions on the way."""

    expressions: Mapping[str, int]  # by phrase
    expressions_empty: int
    scaled: bool  # the stated size was not the real one
    regions: int  # of which a phrase asks
    regions_left_out: int  # on purpose, see phrases
    regions_ignored: int  # whose pixels no score looks at
    regions_clipped: int
    regions_without_pixels: int  # too thin for the rasteriser
    regions_of_the_whole_image: int
    regions_of_most_of_the_image: int  # more than half, as where the background was taken for the drawing
    regions_crossing_themselves: int


def draw_truths(
    record: Record,
    regions: Sequence[Region],
    phrases: Mapping[str, str],
    size: tuple[int, int],
    rule: TruthRule,
    problems: Problems,
) -> tuple[dict[str, list[rle.RLE]], Tally]:
    """By phrase, the truths of a record's image, one mask per expression; and what became of its regions.

    Args:
        record: of the image.
        regions: all of the record's.
        phrases: from labels to phrases; regions of other labels are left out.
        size: (width, height) of the image in pixels.
        rule: what an expression asks for, and which outlines are drawn.
        problems: told of regions that do not fit the image, masks of another size, and outlines that the rule
            refuses.
    """
    width, height = size
    parts: dict[str, list[rle.RLE]] = {phrase: [] for phrase in phrases.values()}
    asked = set(parts) if rule.include_empty else set()
    asked_for = regions_of_phrases(regions, phrases)
    clipped = without_pixels = whole = most = crossing = 0
    for region in asked_for:
        phrase = phrases[region.label]
        if not region.shapes:
            asked.add(phrase)  # the annotation says that nothing of this name is there
            continue
        with problems.collect():
            drawn = region.draw(size, record.stated_size)
            clipped += drawn.clipped
            pixels = rle.area(drawn.mask)
            if not pixels:
                without_pixels += 1
                continue
            whole += pixels == width * height
            most += width * height / 2 < pixels < width * height
            _require_drawable(region, drawn, rule)
            crossing += drawn.crosses_itself
            parts[phrase].append(drawn.mask)
    truths = {
        phrase: [rle.union(drawn)] if rule.target == "phrase" else drawn
        for phrase, drawn in parts.items()
        if drawn
    }
    empty = [phrase for phrase in parts if phrase in asked - truths.keys()]
    truths |= {phrase: [rle.empty(height, width)] for phrase in empty}
    ignored = sum(region.ignored for region in regions)
    tally = Tally(
        {sys.intern(phrase): len(drawn) for phrase, drawn in truths.items()},
        len(empty),
        record.stated_size not in (None, size),
        len(asked_for),
        len(regions) - len(asked_for) - ignored,
        ignored,
        clipped,
        without_pixels,
        whole,
        most,
        crossing,
    )
    return truths, tally


def regions_of_phrases(regions: Sequence[Region], phrases: Mapping[str, str]) -> list[Region]:
    """The regions of which a phrase asks: of a label in `phrases`, and not ignored."""
    return [region for region in regions if region.label in phrases and not region.ignored]


def _require_drawable(region: Region, drawn: Drawn, rule: TruthRule) -> None:
    if drawn.crosses_itself and rule.crossing_outlines == "refuse":
        raise UserError(
            f"{region.where} has an outline that crosses itself; redraw it, or set crossing_outlines to draw, "
            "which leaves out what it encloses twice."
        )


def draw_ignored(
    record: Record, regions: Sequence[Region], size: tuple[int, int], rule: TruthRule, problems: Problems
) -> rle.RLE | None:
    """The pixels that no score looks at: what the record says of the whole image, and the ignored regions.

    The arguments are those of `draw_truths`. None where there are no such pixels.
    """
    found = []
    if record.ignore is not None:
        with problems.collect():
            page = Page(size, record.stated_size, f"{record.where}: what is ignored")
            found.append(record.ignore.draw(page).mask)
    for region in (region for region in regions if region.ignored):
        with problems.collect():
            drawn = region.draw(size, record.stated_size)
            _require_drawable(region, drawn, rule)
            found.append(drawn.mask)
    return rle.union(found) if found else None
