"""LabelMe: a folder, searched recursively, of JSON files beside their images.

`imagePath` is read from the JSON file's folder. Where that image is absent and the JSON file embeds it
(`imageData`), the embedded one is used. Shapes: `polygon`, `rectangle`, `linestrip` (with a width, in pixels:
its own field `line_width`, else the option of that name) and `mask`; any other is an error.
"""

import base64
import binascii
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from refvessel.dataset.fields import of_kind, optional_size, positive_number, read_bytes, require
from refvessel.dataset.images import open_image
from refvessel.dataset.polygons import as_points, as_polygon
from refvessel.dataset.problems import Problems
from refvessel.dataset.readers.records import Record, locate, not_annotated, visible_files, visible_name
from refvessel.dataset.shapes import Line, Patch, Polygon, Region, Shape
from refvessel.errors import UserError
from refvessel.files import read_json


def read(root: Path, problems: Problems, *, line_width: float | None = None) -> Iterator[Record]:
    """Yield a record for every JSON file, then one without regions for every image that no JSON file names."""
    if line_width is not None:
        line_width = positive_number(line_width, "The option line_width")
    annotated = set()
    for path in visible_files(root, frozenset({".json"})):
        with problems.collect():
            record = _record(root, path, line_width)
            annotated.add(record.path)
            yield record
    yield from not_annotated(root, annotated)


def _record(root: Path, path: Path, line_width: float | None) -> Record:
    real = locate(root, root, str(path.relative_to(root)), f"{root}: the annotation")
    content = read_json(real)
    image_path = require(content, "imagePath", str, str(path))
    image = locate(root, path.parent, image_path, f"{path}: imagePath")
    embedded = not image.is_file() and content.get("imageData") is not None
    if not image.is_file() and not embedded:
        raise UserError(
            f"{path}: the image {image_path!r:.200} does not exist; put it there or correct imagePath."
        )
    return Record(
        name=path.relative_to(root).as_posix() if embedded else visible_name(root, path.parent, image_path),
        path=real if embedded else image,
        annotation=real,
        where=str(path),
        region_files=(LabelmeShapes.listed(content, real, str(path), line_width),),
        stated_size=optional_size(content, "imageWidth", "imageHeight", str(path)),
        load=embedded_image if embedded else read_bytes,
    )


@dataclass(frozen=True, slots=True)
class LabelmeShapes:
    """The shapes of a LabelMe file, of which the labels alone are kept until they are drawn."""

    path: Path
    where: str
    labels: tuple[str, ...]
    line_width: float | None

    @classmethod
    def listed(cls, content: Any, path: Path, where: str, line_width: float | None) -> Self:
        """Of the file's parsed content."""
        shapes = require(content, "shapes", list, where)
        labels = [shape.get("label") for shape in shapes if isinstance(shape, dict)]
        named = dict.fromkeys(sys.intern(label.strip()) for label in labels if isinstance(label, str))
        return cls(path, where, tuple(label for label in named if label), line_width)

    def regions(self, problems: Problems) -> list[Region]:
        """The shapes as regions; what is wrong with one goes to `problems`."""
        regions = []
        shapes = require(read_json(self.path), "shapes", list, self.where)
        for number, shape in enumerate(shapes, start=1):
            with problems.collect():
                regions.append(_region(shape, f"{self.where}: shape {number}", self.line_width))
        return regions


def _region(shape: Any, where: str, line_width: float | None) -> Region:
    label = require(shape, "label", str, where).strip()
    if not label:
        raise UserError(f"{where} has no text in its label; name what it shows.")
    points = require(shape, "points", list, where)
    drawn: Shape
    match shape.get("shape_type") or "polygon":  # files of old versions hold polygons only and do not say so
        case "polygon":
            drawn = Polygon(as_polygon(points, where))
        case "rectangle":
            drawn = Polygon(_rectangle(points, where))
        case "linestrip":
            drawn = _line(shape, points, where, line_width)
        case "mask":
            drawn = _patch(shape, points, where)
        case other:
            raise UserError(
                f"{where} is of the type {other!r}; only polygon, rectangle, linestrip and mask are read, "
                "redraw it."
            )
    return Region(label, (drawn,), where)


def _line(shape: dict, points: list, where: str, line_width: float | None) -> Line:
    width = shape.get("line_width", line_width)
    if width is None:
        raise UserError(
            f"{where} is a linestrip without a width; set the option line_width (pixels) or redraw it as polygon."
        )
    return Line(as_points(points, where, fewest=2), positive_number(width, f"{where}: line_width"))


def _patch(shape: dict, points: list, where: str) -> Patch:
    """A mask of the box between two corners, whose pixels both belong to it."""
    corners = as_points(points, where, fewest=2)
    (left, top), (right, bottom) = np.rint(corners[:2]).astype(int)
    content = _from_base64(require(shape, "mask", str, where), f"{where}: mask")
    mask = np.asarray(open_image(content, f"{where}: mask").convert("1"))
    if len(corners) != 2 or mask.shape != (bottom - top + 1, right - left + 1):
        raise UserError(
            f"{where}: its mask of {mask.shape[1]} x {mask.shape[0]} pixels does not fill the box of its points; "
            "redraw it."
        )
    return Patch(mask, int(left), int(top))


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
    return _from_base64(require(read_json(path), "imageData", str, str(path)), f"{path}: imageData")


def _from_base64(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise UserError(f"{what} is not base64; save the image again with LabelMe.") from None
