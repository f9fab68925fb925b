"""Pictures of cases in rows, as SVG: images with outlines and marks over them, words around them, a legend below.

Written without matplotlib, which draws a picture in a tenth of a second and embeds it as PNG.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image
from skimage.measure import find_contours

from refvessel import rle
from refvessel.report.drawing import FONTS, INK, TWO_COLUMNS
from refvessel.report.printing import shortened

Shape = Literal["line", "ring", "square", "patch"]

_POINTS = 72  # per inch
_WIDTH = TWO_COLUMNS * _POINTS
_GAP, _TEXT, _SMALL, _LINE = 6.0, 8.0, 6.5, 10.5  # points: between panels, sizes of letters, between lines
_LETTER = 0.6  # of its size, the width of a letter
_MARK = 3.0  # points: radius of a ring, half the side of a square
_KEY = 18.0  # points that a legend's sign takes
_QUALITY = 80  # of JPEG


@dataclass(frozen=True)
class Outline:
    """The boundary of a mask in a colour, its line so many points wide."""

    mask: rle.RLE
    color: str
    width: float


@dataclass(frozen=True)
class Mark:
    """A ring or a square around a pixel."""

    shape: Shape
    row: float
    column: float
    color: str


@dataclass(frozen=True)
class Panel:
    """One picture, RGB or grey, in any resolution.

    `size` is the (width, height) in which outlines and marks count; `title` has lines above, `label` one below.
    """

    picture: Image.Image
    size: tuple[int, int]
    title: str = ""
    label: str = ""
    outlines: Sequence[Outline] = field(default=())
    marks: Sequence[Mark] = field(default=())


@dataclass(frozen=True)
class Key:
    """What the legend says of a colour and its form."""

    label: str
    color: str
    shape: Shape


def write_panels(rows: Sequence[Sequence[Panel]], keys: Sequence[Key], path: Path, columns: int = 0) -> None:
    """Write an SVG of the width of two columns; the same panels give the same bytes.

    Args:
        rows: panels, from left to right.
        keys: the legend, from left to right.
        path: SVG to write.
        columns: that a row is divided into; 0 is as many as the longest row has panels.
    """
    side = _WIDTH / (columns or max(map(len, rows)))
    y, drawn = 0.0, []
    for row in rows:
        text, height = _row(row, side, y)
        drawn.append(text)
        y += height
    drawn += [_key(key, _GAP + number * _WIDTH / len(keys), y + _LINE) for number, key in enumerate(keys)]
    height = y + 2 * _LINE
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{_WIDTH:g}pt" '
        f'height="{height:.2f}pt" viewBox="0 0 {_WIDTH:g} {height:.2f}" font-family="{", ".join(FONTS)}" '
        f'font-size="{_TEXT:g}" fill="{INK}">\n<rect width="100%" height="100%" fill="#fff"/>\n'
        + "\n".join(drawn)
        + "\n</svg>\n",
        "utf-8",
    )


def _row(panels: Sequence[Panel], side: float, top: float) -> tuple[str, float]:
    """A row that begins at `top`, each of its panels as wide as `side`, and the height that it takes; points."""
    lines = max(len(panel.title.splitlines()) for panel in panels)
    box = side - _GAP
    scales = [box / max(panel.size) for panel in panels]
    below = top + lines * _LINE + 3
    deepest = max(scale * panel.size[1] for scale, panel in zip(scales, panels, strict=True))
    labelled = any(panel.label for panel in panels)
    drawn = []
    for number, (panel, scale) in enumerate(zip(panels, scales, strict=True)):
        middle = (number + 0.5) * side
        for line, text in enumerate(panel.title.splitlines(), start=1):
            drawn.append(_text(text, middle, top + line * _LINE - 1, box, _TEXT))
        drawn.append(_picture(panel, middle - scale * panel.size[0] / 2, below, scale))
        if panel.label:
            drawn.append(_text(panel.label, middle, below + deepest + _LINE - 2, box, _SMALL))
    return "\n".join(drawn), below - top + deepest + (_LINE if labelled else 0) + _GAP / 2


def _text(text: str, x: float, y: float, room: float, size: float, anchor: str = "middle") -> str:
    shown = escape(shortened(text, int(room / (_LETTER * size))))
    return f'<text x="{x:.2f}" y="{y:.2f}" font-size="{size:g}" text-anchor="{anchor}">{shown}</text>'


def _picture(panel: Panel, x: float, y: float, scale: float) -> str:
    """The picture at a place, `scale` points per pixel of its case, with all that lies over it."""
    width, height = panel.size
    over = [_outline(each, scale) for each in panel.outlines] + [_mark(each, scale) for each in panel.marks]
    picture = _embedded(panel.picture)
    return (
        f'<g transform="translate({x:.2f} {y:.2f}) scale({scale:.6g})" fill="none">\n'
        f'<image width="{width}" height="{height}" preserveAspectRatio="none" xlink:href="{picture}"/>\n'
        + "".join(f"{each}\n" for each in over)
        + "</g>"
    )


def _embedded(picture: Image.Image) -> str:
    packed = io.BytesIO()
    picture.save(packed, "JPEG", quality=_QUALITY, subsampling=0, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(packed.getvalue()).decode('ascii')}"


def _outline(outline: Outline, scale: float) -> str:
    padded = np.pad(rle.decode(outline.mask), 1)  # so that a region at the border is closed
    # Contours run through the middles between pixels' centres: twice their places are whole numbers. From (row,
    # column) of the padded, counted from centres, to (x, y), counted from corners.
    paths = [np.rint(2 * contour[:, ::-1] - 1).astype(int) for contour in find_contours(padded, 0.5)]
    return (
        f'<path transform="scale(.5)" stroke="{outline.color}" stroke-width="{2 * outline.width / scale:.3g}" '
        f'stroke-linejoin="round" d="{"".join(map(_path, paths))}"/>'
    )


def _path(points: np.ndarray) -> str:
    """A closed line through whole numbers (x, y), straight stretches in one step."""
    steps = np.diff(points, axis=0)
    turns = np.flatnonzero((steps[1:] != steps[:-1]).any(axis=1)) + 1
    corners = points[[0, *turns]]
    x, y = corners[0]
    return f"M{x} {y}l" + " ".join(f"{dx} {dy}" for dx, dy in np.diff(corners, axis=0).tolist()) + "z"


def _mark(mark: Mark, scale: float) -> str:
    size, line = _MARK / scale, f'stroke="{mark.color}" stroke-width="{1.1 / scale:.3g}"'
    x, y = mark.column + 0.5, mark.row + 0.5  # from centres of pixels to corners
    if mark.shape == "ring":
        return f'<circle cx="{x:g}" cy="{y:g}" r="{size:.3g}" {line}/>'
    return (
        f'<rect x="{x - size:.4g}" y="{y - size:.4g}" width="{2 * size:.3g}" height="{2 * size:.3g}" {line}/>'
    )


def _key(key: Key, x: float, y: float) -> str:
    middle = y - 3
    stroke, thin = f'stroke="{key.color}"', 'fill="none" stroke-width="1.1"'
    signs = {
        "line": f'<path d="M{x:.2f} {middle:.2f}h14" {stroke} stroke-width="2.5"/>',
        "ring": f'<circle cx="{x + 7:.2f}" cy="{middle:.2f}" r="{_MARK:g}" {thin} {stroke}/>',
        "square": f'<rect x="{x + 4:.2f}" y="{middle - 3:.2f}" width="6" height="6" {thin} {stroke}/>',
        "patch": f'<rect x="{x:.2f}" y="{middle - 3.5:.2f}" width="14" height="7" fill="{key.color}"/>',
    }
    return signs[key.shape] + _text(key.label, x + _KEY, y, _WIDTH, _TEXT, anchor="start")
