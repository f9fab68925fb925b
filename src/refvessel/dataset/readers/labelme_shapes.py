"""The shapes of a LabelMe file as regions.

Shapes: `polygon`, `rectangle`, `oriented_rectangle`, `linestrip` (with a width, in pixels: its own field
`line_width`, else the option of that name) and `mask`; any other is an error.

LabelMe's own conventions: shapes of one label and one `group_id` are one region. A shape called `_background_` is
cut out of all shapes before it, as LabelMe's programs paint it over them. What `__ignore__` covers, no score looks
at.
"""

import base64
import binascii
import sys
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from refvessel.dataset.fields import of_kind, positive_number, require
from refvessel.dataset.problems import Problems
from refvessel.dataset.regions.holes import Cut, Holes
from refvessel.dataset.regions.label_images import levels
from refvessel.dataset.regions.polygons import as_points, as_polygon
from refvessel.dataset.regions.shapes import Line, Patch, Polygon, Region, Shape
from refvessel.errors import UserError
from refvessel.files import read_json
from refvessel.image_files import decode

HOLE, IGNORED = "_background_", "__ignore__"  # LabelMe's reserved labels

_Instance = tuple[Any, ...]  # what shapes of one region have in common: the label first


@dataclass(frozen=True, slots=True)
class LabelmeShapes:
    """The shapes of a LabelMe file, of which the labels alone are kept until they are drawn."""

    path: Path
    where: str
    labels: tuple[str, ...]
    holes_before_regions: int
    line_width: float | None
    left_out: Set[str]

    @classmethod
    def listed(
        cls,
        content: Any,
        path: Path,
        where: str,
        line_width: float | None,
        left_out: Set[str] = frozenset(),
    ) -> Self:
        """Of the file's parsed content; of the labels `left_out` no shape is read."""
        shapes = require(content, "shapes", list, where)
        labels = [shape.get("label") for shape in shapes if isinstance(shape, dict)]
        stripped = [sys.intern(label.strip()) for label in labels if isinstance(label, str)]
        named = [label for label in dict.fromkeys(stripped) if label and label not in (HOLE, IGNORED)]
        first = next((index for index, label in enumerate(stripped) if label != HOLE), len(stripped))
        return cls(path, where, tuple(named), first, line_width, left_out)

    def regions(self, problems: Problems) -> list[Region]:
        """The shapes as regions; what is wrong with one goes to `problems`."""
        found: list[Region] = []
        members: dict[_Instance, list[tuple[int, Shape, int]]] = {}  # number, shape, holes before it
        holes: list[Region] = []
        for number, shape in enumerate(require(read_json(self.path), "shapes", list, self.where), start=1):
            where = f"{self.where}: shape {number}"
            with problems.collect():
                label = _label(shape, where)
                if label in self.left_out:
                    found.append(Region(label, (), where))
                    continue
                drawn = _drawn(shape, where, self.line_width)
                if label == HOLE:
                    holes.append(Region(label, (drawn,), where))
                else:
                    members.setdefault(_instance(shape, label, number, where), []).append(
                        (number, drawn, len(holes))
                    )
        cut = Holes(holes)
        for (label, *_), parts in members.items():
            shapes = tuple(
                Cut(drawn, cut, before) if before < len(holes) else drawn for _, drawn, before in parts
            )
            found.append(Region(label, shapes, self._where(parts), ignored=label == IGNORED))
        return found

    def _where(self, parts: list[tuple[int, Shape, int]]) -> str:
        numbers = ", ".join(str(number) for number, *_ in parts)
        return f"{self.where}: shape{'s' if len(parts) > 1 else ''} {numbers}"


def _label(shape: Any, where: str) -> str:
    label = require(shape, "label", str, where).strip()
    if not label:
        raise UserError(f"{where} has no text in its label; name what it shows.")
    return label


def _instance(shape: Mapping[str, Any], label: str, number: int, where: str) -> _Instance:
    """What shapes of one region have in common: the label and the group, if they have one."""
    group = shape.get("group_id")
    if group is None or group == "":
        return label, None, number
    if not isinstance(group, int | float | str):
        raise UserError(f"{where}: group_id must be a whole number, not {group!r:.40}; correct it.")
    return label, group


def _drawn(shape: Mapping[str, Any], where: str, line_width: float | None) -> Shape:
    points = require(shape, "points", list, where)
    match shape.get("shape_type") or "polygon":  # files of old versions hold polygons only and do not say so
        case "polygon" | "oriented_rectangle":
            return Polygon(as_polygon(points, where))
        case "rectangle":
            return Polygon(_rectangle(points, where))
        case "linestrip":
            return _line(shape, points, where, line_width)
        case "mask":
            return _patch(shape, points, where)
        case other:
            raise UserError(
                f"{where} is of the type {other!r}; only polygon, rectangle, linestrip and mask are read, "
                "redraw it."
            )


def _line(shape: Mapping[str, Any], points: list[Any], where: str, line_width: float | None) -> Line:
    width = shape.get("line_width", line_width)
    if width is None:
        raise UserError(
            f"{where} is a linestrip without a width; set the option line_width (pixels) or redraw it as polygon."
        )
    return Line(as_points(points, where, fewest=2), positive_number(width, f"{where}: line_width"))


def _patch(shape: Mapping[str, Any], points: list[Any], where: str) -> Patch:
    """A mask of the box between two corners, whose pixels both belong to it; all but zero is foreground.

    Corners between pixels, of a mask that was moved, give the place alone: rounded, they may be a pixel too far
    apart or too near.
    """
    corners = as_points(points, where, fewest=2)
    (left, top), (right, bottom) = np.rint(corners[:2]).astype(int)
    content = bytes_of_base64(require(shape, "mask", str, where), f"{where}: mask")
    found, _ = levels(decode(content, f"{where}: mask"), f"{where}: mask")
    height, width = found.shape
    off = max(abs(bottom - top + 1 - height), abs(right - left + 1 - width))
    if len(corners) != 2 or off > (0 if (corners == np.rint(corners)).all() else 1):
        raise UserError(
            f"{where}: its mask of {width} x {height} pixels does not fill the box of its points; redraw it."
        )
    return Patch(found > 0, int(left), int(top))


def _rectangle(points: list[Any], where: str) -> np.ndarray:
    """The four corners, shape (4, 2), of a rectangle given by two opposite ones or, as in AnyLabeling, all."""
    if len(points) == 4:
        return as_polygon(points, where)
    if len(points) != 2:
        raise UserError(f"{where} is a rectangle of {len(points)} points; give two opposite corners.")
    first, second = (of_kind(point, list, f"{where}: a corner") for point in points)
    if len(first) != 2 or len(second) != 2:
        raise UserError(f"{where} has a corner that is not a pair [x, y]; correct it.")
    return as_polygon([first, [second[0], first[1]], second, [first[0], second[1]]], where)


def bytes_of_base64(text: str, what: str) -> bytes:
    """The bytes of a base64 text, which converters wrap into lines or write as a data URL."""
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise UserError(f"{what} is not base64; save the image again with LabelMe.") from None
