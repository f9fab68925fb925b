"""Sa2VA's own annotations: `annotations.json`, a list of {"image": name, "mask": [...], "text": [...]}.

`mask` holds one item per text: a polygon [x, y, x, y, ...] (the flat form) or a list of polygons (the nested
form); points may also be pairs [x, y]. Texts may be fewer than masks: the last text then names the remaining ones
too. `width` and `height`, where given, are the size that the coordinates refer to. Images lie in `images/` beside
the file, or beside the file itself.
"""

from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any

from refvessel.dataset.fields import of_kind, optional_size, require
from refvessel.dataset.problems import Problems
from refvessel.dataset.readers.records import Record, not_annotated
from refvessel.dataset.readers.source_files import locate, visible_name
from refvessel.dataset.regions.polygons import as_polygon
from refvessel.dataset.regions.shapes import Polygon, Region
from refvessel.errors import UserError
from refvessel.files import read_json

FILE = "annotations.json"


def read(root: Path, problems: Problems, *, left_out: Set[str] = frozenset()) -> Iterator[Record]:
    """Yield one record per entry, then one without regions per image that no entry names."""
    annotations = root / FILE
    content = read_json(locate(root, root, FILE, f"{root}: the file"))
    annotated = set()
    for number, entry in enumerate(of_kind(content, list, str(annotations)), start=1):
        with problems.collect():
            record = _record(root, entry, f"{annotations}: entry {number}", problems, left_out)
            annotated.add(record.path)
            yield record
    yield from not_annotated(root, annotated)


def _record(root: Path, entry: Any, where: str, problems: Problems, left_out: Set[str]) -> Record:
    image_name = require(entry, "image", str, where)
    where = f"{where} ({image_name})"
    masks, texts = require(entry, "mask", list, where), require(entry, "text", list, where)
    candidates = {
        folder: locate(root, folder, image_name, f"{where}: image") for folder in (root / "images", root)
    }
    folder = next((folder for folder, path in candidates.items() if path.is_file()), None)
    if folder is None:
        raise UserError(f"{where}: the image does not exist in images/ or beside {FILE}; put it there.")
    if masks and len(texts) > len(masks):
        raise UserError(f"{where} has {len(texts)} texts for {len(masks)} masks; give every text a mask.")
    if masks and not texts:
        raise UserError(f"{where} has masks but no text; name what they show.")
    regions = []
    for index, item in enumerate(masks):
        with problems.collect():
            text = texts[min(index, len(texts) - 1)]
            regions.append(_region(item, text, f"{where}: mask {index + 1}", left_out))
    return Record(
        name=visible_name(root, folder, image_name).removeprefix(
            "images/"
        ),  # a place, not a part of the name
        path=candidates[folder],
        annotation=root / FILE,
        where=where,
        regions=tuple(region for region in regions if region.shapes or region.label in left_out),
        stated_size=optional_size(entry, "width", "height", where),
        counts={"texts_repeated": max(len(masks) - len(texts), 0)},
    )


def _region(item: Any, text: Any, where: str, left_out: Set[str]) -> Region:
    label = of_kind(text, str, f"{where}: its text").strip()
    if not label:
        raise UserError(f"{where} has no text; name what it shows.")
    if label in left_out:
        return Region(label, (), where)
    polygons = [item] if _is_polygon(of_kind(item, list, where)) else item
    return Region(
        label,
        tuple(
            Polygon(as_polygon(polygon, f"{where}, polygon {number}"))
            for number, polygon in enumerate(polygons, start=1)
        ),
        where,
    )


def _is_polygon(item: list[Any]) -> bool:
    """True for one polygon (numbers, or pairs of numbers) and not a list of polygons.

    A list of polygons never looks like a list of pairs: no polygon has as few as two coordinates.
    """
    if not item:
        return False
    return not isinstance(item[0], list) or (len(item[0]) == 2 and not isinstance(item[0][0], list))
