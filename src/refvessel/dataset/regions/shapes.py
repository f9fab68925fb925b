"""The forms in which a region can be annotated, each drawn as a mask on its image.

Every shape has `draw(page)`, which returns its mask and whether a part of it lay outside the image, and
`outlines(page)`, the polygons that were drawn: none for shapes that are masks already.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np

from refvessel import rle
from refvessel.dataset.regions.polygons import (
    crosses_itself,
    outline_length,
    overhangs,
    rasterise,
    require_drawable,
    scale,
)
from refvessel.errors import UserError

_JOINT_CORNERS = 16  # of the polygon that stands for a line's round end


@dataclass(frozen=True)
class Page:
    """What a shape is drawn on; sizes are (width, height) in pixels."""

    size: tuple[int, int]  # of the image
    stated_size: tuple[int, int] | None  # that the coordinates refer to, where the annotation says so
    where: str  # file and field of the shape, for messages
    crossings: bool = True  # whether to find out if outlines cross themselves, which can take a while


@dataclass(frozen=True)
class Drawn:
    """A shape's mask, of the image's size."""

    mask: rle.RLE
    clipped: bool = False
    crosses_itself: bool = False


class Shape(Protocol):
    """One part of a region."""

    def draw(self, page: Page) -> Drawn:
        """The shape's mask; raises UserError where the shape does not fit the page."""

    def outlines(self, page: Page) -> list[np.ndarray]:
        """The polygons drawn, each float64 of shape (points, 2), columns (x, y), in the image's pixels."""


@dataclass(frozen=True)
class Polygon:
    """A filled polygon: float64 of shape (points, 2), columns (x, y), pixels of the page's stated size."""

    points: np.ndarray

    def draw(self, page: Page) -> Drawn:
        """By COCO's rasteriser. Where a polygon crosses itself, what it encloses twice is outside."""
        (polygon,) = self.outlines(page)
        clipped = overhangs(polygon, page.size, stated=page.stated_size is not None, what=page.where)
        require_drawable(outline_length(polygon), page.where)
        width, height = page.size
        mask = rasterise(polygon, height, width)
        return Drawn(mask, clipped, page.crossings and crosses_itself(polygon))

    def outlines(self, page: Page) -> list[np.ndarray]:
        """The polygon alone."""
        return [scale(self.points, page.stated_size, page.size)]


@dataclass(frozen=True)
class Line:
    """A line through points, float64 of shape (points, 2), with a width and round ends, in stated pixels."""

    points: np.ndarray
    width: float

    def draw(self, page: Page) -> Drawn:
        """The union of the line's pieces and of the discs at its points."""
        width, height = page.size
        corners = scale(self.points, page.stated_size, page.size)
        clipped = overhangs(corners, page.size, stated=page.stated_size is not None, what=page.where)
        if self.width > max(page.stated_size or page.size):
            raise UserError(
                f"{page.where} has a line of {self.width:g} pixels, wider than its image; correct it."
            )
        wide = self.width * max(np.divide(page.size, page.stated_size or page.size))
        require_drawable(2 * outline_length(corners) + 4 * wide * len(corners), page.where)
        return Drawn(rle.union([rasterise(part, height, width) for part in self.outlines(page)]), clipped)

    def outlines(self, page: Page) -> list[np.ndarray]:
        """A rectangle a piece and a disc a point."""
        angles = np.arange(_JOINT_CORNERS) * 2 * np.pi / _JOINT_CORNERS
        disc = self.width / 2 * np.column_stack([np.cos(angles), np.sin(angles)])
        parts = [point + disc for point in self.points]
        for start, end in pairwise(self.points):
            along = end - start
            if (length := np.hypot(*along)) > 0:
                across = np.array([-along[1], along[0]]) / length * self.width / 2
                parts.append(np.array([start + across, end + across, end - across, start - across]))
        return [scale(part, page.stated_size, page.size) for part in parts]


@dataclass(frozen=True)
class Runs:
    """A mask of the whole image, run-length encoded."""

    rle: rle.RLE

    def draw(self, page: Page) -> Drawn:
        """The mask as it is; UserError where the image has another size: masks are never resampled."""
        height, width = self.rle["size"]
        _require_size((width, height), page)
        return Drawn(self.rle)

    def outlines(self, page: Page) -> list[np.ndarray]:  # noqa: ARG002 (the signature of Shape)
        """None: nothing was drawn."""
        return []


@dataclass(frozen=True)
class Patch:
    """A mask, bool of shape (rows, columns), whose upper left pixel lies at (left, top) of the image."""

    mask: np.ndarray
    left: int
    top: int

    def draw(self, page: Page) -> Drawn:
        """The mask in its place; UserError where the image has another size than stated."""
        _require_size(page.stated_size or page.size, page)
        width, height = page.size
        rows, columns = np.nonzero(self.mask)
        rows, columns = rows + self.top, columns + self.left
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        if len(rows) and not inside.any():
            raise UserError(f"{page.where} lies outside the image of {width} x {height} pixels; correct it.")
        whole = np.zeros((height, width), np.uint8)
        whole[rows[inside], columns[inside]] = 1
        return Drawn(rle.encode(whole), clipped=not inside.all())

    def outlines(self, page: Page) -> list[np.ndarray]:  # noqa: ARG002 (the signature of Shape)
        """None: nothing was drawn."""
        return []


@dataclass(frozen=True)
class Region:
    """One labelled region; what any of its parts covers is the region's.

    A region without parts says that nothing of this label is on the image.
    """

    label: str
    shapes: tuple[Shape, ...]
    where: str  # file and field, for messages
    ignored: bool = False  # no score looks at its pixels, and it belongs to no phrase

    def draw(self, size: tuple[int, int], stated_size: tuple[int, int] | None) -> Drawn:
        """The region's mask on an image of `size`, (width, height); UserError where a part does not fit it."""
        page = Page(size, stated_size, self.where)
        parts = [shape.draw(page) for shape in self.shapes]
        if len(parts) == 1:
            return parts[0]
        return Drawn(
            rle.union([part.mask for part in parts]),
            any(part.clipped for part in parts),
            any(part.crosses_itself for part in parts),
        )

    def outlines(self, size: tuple[int, int], stated_size: tuple[int, int] | None) -> list[np.ndarray]:
        """All polygons drawn, in the image's pixels; none where a part was not drawn from polygons."""
        page = Page(size, stated_size, self.where)
        parts = [shape.outlines(page) for shape in self.shapes]
        return [outline for part in parts for outline in part] if all(parts) else []


def _require_size(size: tuple[int, int], page: Page) -> None:
    if size != page.size:
        raise UserError(
            f"{page.where}: its mask is of {size[0]} x {size[1]} pixels, the image of {page.size[0]} x "
            f"{page.size[1]}; masks are not resampled, give one of the image's size."
        )
