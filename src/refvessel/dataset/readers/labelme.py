"""LabelMe: a folder, searched recursively, of JSON files beside their images.

`imagePath` is read from the JSON file's folder. Where that image is absent and the JSON file embeds it
(`imageData`), the embedded one is used. Shapes: `polygon` and `rectangle`; any other is an error.
"""

import base64
import binascii
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from refvessel.dataset.fields import of_kind, optional_size, require
from refvessel.dataset.polygons import as_polygon
from refvessel.dataset.problems import Problems
from refvessel.dataset.readers.records import Record, Region, locate, not_annotated, visible_files
from refvessel.errors import UserError
from refvessel.files import read_json


def read(root: Path, problems: Problems) -> Iterator[Record]:
    """Yield a record for every JSON file, then one without regions for every image that no JSON file names."""
    annotated = set()
    for path in visible_files(root, frozenset({".json"})):
        with problems.collect():
            record = _record(root, path, problems)
            annotated.add(record.path)
            yield record
    yield from not_annotated(root, annotated)


def _record(root: Path, path: Path, problems: Problems) -> Record:
    real = locate(root, root, str(path.relative_to(root)), f"{root}: the annotation")
    content = read_json(real)
    shapes = require(content, "shapes", list, str(path))
    image_path = require(content, "imagePath", str, str(path))
    image = locate(root, path.parent, image_path, f"{path}: imagePath")
    embedded = not image.is_file() and content.get("imageData") is not None
    if not image.is_file() and not embedded:
        raise UserError(
            f"{path}: the image {image_path!r:.200} does not exist; put it there or correct imagePath."
        )
    regions = []
    for number, shape in enumerate(shapes, start=1):
        with problems.collect():
            regions.append(_region(shape, f"{path}: shape {number}"))
    return Record(
        name=_name(root, real if embedded else image),
        path=real if embedded else image,
        annotation=real,
        where=str(path),
        regions=tuple(regions),
        stated_size=optional_size(content, "imageWidth", "imageHeight", str(path)),
        load=embedded_image if embedded else Path.read_bytes,
    )


def _region(shape: Any, where: str) -> Region:
    label = require(shape, "label", str, where).strip()
    if not label:
        raise UserError(f"{where} has no text in its label; name what it shows.")
    points = require(shape, "points", list, where)
    match shape.get("shape_type", "polygon"):  # files of old versions hold polygons only and do not say so
        case "polygon":
            polygon = as_polygon(points, where)
        case "rectangle":
            polygon = _rectangle(points, where)
        case other:
            raise UserError(
                f"{where} is of the type {other!r}; only polygon and rectangle are read, redraw it."
            )
    return Region(label, polygon, where)


def _rectangle(points: list, where: str) -> np.ndarray:
    """The four corners, shape (4, 2), of a rectangle given by two opposite ones."""
    if len(points) != 2:
        raise UserError(f"{where} is a rectangle of {len(points)} points; give two opposite corners.")
    first, second = (of_kind(point, list, f"{where}: a corner") for point in points)
    if len(first) != 2 or len(second) != 2:
        raise UserError(f"{where} has a corner that is not a pair [x, y]; correct it.")
    return as_polygon([first, [second[0], first[1]], second, [first[0], second[1]]], where)


def embedded_image(path: Path) -> bytes:
    """The encoded image inside a LabelMe file; raises UserError where its base64 text is damaged."""
    try:
        return base64.b64decode(require(read_json(path), "imageData", str, str(path)), validate=True)
    except (binascii.Error, ValueError):
        raise UserError(f"{path}: imageData is not base64; save the image beside the file.") from None


def _name(root: Path, path: Path) -> str:
    return path.relative_to(root.resolve()).as_posix()
