"""`outlines.npz`: the polygons that truths were drawn from, by which scores show what another rasteriser changes.

ref_id      int64 (refs,): the refs whose truth was drawn from polygons alone, or is empty; ascending
polygons    int64 (refs,): how many polygons each has
points      int64 (polygons,): how many points each polygon has
xy          float64 (points, 2): their columns (x, y), in pixels of the image
"""

import zipfile
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from refvessel.dataset.shapes import Region
from refvessel.dataset.truths import Truths
from refvessel.errors import UserError

OUTLINES = Path("outlines.npz")
_ARRAYS = ("ref_id", "polygons", "points", "xy")

Outlines = Sequence[np.ndarray]  # each polygon float64 (points, 2)


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
    of_regions: Mapping[str, list[Outlines] | None], truths: Truths, target: str
) -> dict[str, list[Outlines]]:
    """By phrase, the polygons of each of its truths, none where it is empty, from those of the regions.

    Left out are phrases with a region that is a mask and, where each region is a truth, with one too thin for
    the rasteriser, which has none.
    """
    found = {}
    for phrase, masks in truths.by_phrase.items():
        regions = of_regions.get(phrase, [])
        if regions is None:
            continue
        if target == "phrase" or not regions:
            found[phrase] = [list(chain.from_iterable(regions))]
        elif len(regions) == len(masks):
            found[phrase] = regions
    return found


def write_outlines(path: Path, outlines: Mapping[int, Outlines]) -> None:
    """Write the polygons by ref_id; without any polygon there is no file."""
    refs = sorted(outlines)
    polygons = [polygon for ref_id in refs for polygon in outlines[ref_id]]
    if polygons:
        arrays = (
            np.array(refs, np.int64),
            np.array([len(outlines[ref_id]) for ref_id in refs], np.int64),
            np.array([len(polygon) for polygon in polygons], np.int64),
            np.concatenate(polygons),
        )
        with zipfile.ZipFile(path, "w") as archive:
            for name, array in zip(_ARRAYS, arrays, strict=True):
                # Unlike np.savez, which writes the time of day: the same polygons give the same bytes.
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)


def read_outlines(path: Path) -> dict[int, Outlines]:
    """The polygons by ref_id, nothing where there is no file; raises UserError where it is damaged."""
    if not Path(path).is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            refs, polygons, points, xy = (arrays[name] for name in _ARRAYS)
        if polygons.sum() != len(points) or points.sum() != len(xy) or xy.shape[1:] != (2,):
            raise ValueError("its arrays do not fit one another")
        each = iter(np.split(xy, points.cumsum()[:-1]))
        return {
            int(ref_id): [next(each) for _ in range(number)]
            for ref_id, number in zip(refs, polygons, strict=True)
        }
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is not a file of outlines ({error}); convert the dataset again.") from None
