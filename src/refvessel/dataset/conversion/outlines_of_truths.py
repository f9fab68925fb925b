"""The polygons behind each truth, as far as it was drawn from polygons alone."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from refvessel.dataset.regions.polygons import Outlines
from refvessel.dataset.regions.shapes import Region
from refvessel.rle import RLE


def outlines_of_regions(
    regions: Iterable[Region],
    phrases: Mapping[str, str],
    size: tuple[int, int],
    stated_size: tuple[int, int] | None,
) -> dict[str, list[Outlines] | None]:
    """By phrase, the polygons of each of its regions on an image of `size`; None where a region is a mask."""
    found: dict[str, list[Outlines] | None] = {}
    for region in regions:
        if not region.shapes:
            continue  # it says that nothing of this name is there
        outlines, known = region.outlines(size, stated_size), found.get(phrases[region.label], [])
        found[phrases[region.label]] = [*known, outlines] if outlines and known is not None else None
    return found


def outlines_of_truths(
    of_regions: Mapping[str, list[Outlines] | None], truths: Mapping[str, Sequence[RLE]], target: str
) -> dict[str, list[Outlines]]:
    """By phrase, the polygons of each of its truths, none where it is empty, from those of the regions.

    Left out are phrases with a region that is a mask and, where each region is a truth, with one too thin for
    the rasteriser, which has none.
    """
    found: dict[str, list[Outlines]] = {}
    for phrase, masks in truths.items():
        regions = of_regions.get(phrase, [])
        if regions is None:
            continue
        if target == "phrase" or not regions:
            found[phrase] = [list(chain.from_iterable(regions))]
        elif len(regions) == len(masks):
            found[phrase] = regions
    return found
