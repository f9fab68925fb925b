"""Polygons and their masks, by the one rasteriser: COCO's."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import shapely
from pycocotools import mask as coco

from refvessel.errors import UserError
from refvessel.rle import RLE, as_text

RASTERISER = "coco"

Outlines = Sequence[np.ndarray]  # each polygon float64 (points, 2), columns (x, y) in pixels

_HUGE = 1e300  # beyond this, scaling overflows
_SAME_AREA = 1e-6  # relative, and in square pixels
_MOST_POINTS = 200_000
_LONGEST_OUTLINE = (
    4_000_000  # pixels; the rasteriser keeps five points of each and does not ask for more memory
)
# How often an outline may meet itself until nobody looks at what it encloses: that would take hours.
_MOST_CROSSINGS = 500
_MOST_TOUCHES = 10  # per point; one traced around a thin vessel in whole pixels has about five
_PAIRS_AT_A_TIME = 100_000
_NUMBERS = {2: "two", 3: "three"}
# How far a polygon may overhang the image, as a share of the image's side. Hands slip over the border, but where
# no size is stated a longer overhang means coordinates measured on an image of another size.
_OVERHANG_STATED, _OVERHANG_UNSTATED = 1.0, 0.1


def as_polygon(coordinates: Any, what: str) -> np.ndarray:
    """A polygon from untrusted JSON: what `as_points` returns, of three points or more."""
    return as_points(coordinates, what, fewest=3)


def as_points(coordinates: Any, what: str, *, fewest: int) -> np.ndarray:
    """Points from untrusted JSON: a flat list [x, y, x, y, ...] or a list of pairs [[x, y], ...].

    Returns float64 of shape (points, 2), columns (x, y), pixels, origin at the image's upper left corner.
    Raises UserError, opening with `what`, for other forms, an odd number of coordinates, too few points and
    coordinates that are not finite.
    """
    flat = coordinates
    kinds = set(map(type, coordinates)) if isinstance(coordinates, list) else set()
    if list in kinds:
        if kinds != {list} or set(map(len, coordinates)) != {2}:
            raise UserError(f"{what} has a point that is not a pair [x, y]; correct it.")
        flat = list(chain.from_iterable(coordinates))
    if not isinstance(flat, list) or not set(map(type, flat)) <= {int, float}:
        raise UserError(f"{what} is not a list of numbers; correct it.")
    if len(flat) % 2:
        raise UserError(
            f"{what} has an odd number of coordinates ({len(flat)}); give x and y of every point."
        )
    if len(flat) > 2 * _MOST_POINTS:
        raise UserError(f"{what} has {len(flat) // 2} points, more than {_MOST_POINTS}; simplify it.")
    if len(flat) < 2 * fewest:
        raise UserError(
            f"{what} has fewer than {_NUMBERS[fewest]} points ({len(flat) // 2}); redraw or remove it."
        )
    try:
        points = np.array(flat, float).reshape(-1, 2)
    except OverflowError:  # a whole number beyond the floats
        points = np.array([[np.inf, np.inf]])
    if not (np.abs(points) < _HUGE).all():
        raise UserError(f"{what} has a coordinate that is not a finite number; redraw or remove it.")
    return points


def scale(polygon: np.ndarray, stated: tuple[int, int] | None, size: tuple[int, int]) -> np.ndarray:
    """Bring a (points, 2) polygon from the `stated` to the real `size`, both (width, height), axis by axis."""
    # Of equal sizes nothing is rounded, which can move a pixel. Else multiplying first keeps a border of the
    # stated image exactly on the border of the real one.
    if stated is None or tuple(stated) == tuple(size):
        return polygon
    return polygon * np.array(size, float) / np.array(stated, float)


def overhangs(polygon: np.ndarray, size: tuple[int, int], *, stated: bool, what: str) -> bool:
    """True if a polygon leaves the image of `size` (width, height), and so will be clipped.

    Raises UserError where it lies outside altogether, or leaves the image by more than drawing explains.
    """
    width, height = size
    low, high = polygon.min(axis=0), polygon.max(axis=0)
    if (low >= 0).all() and (high > 0).all() and (low < size).all() and (high <= size).all():
        return False
    overhang = np.max([-low, high - size], axis=0) / size
    remedy = "correct it" if stated else "state the size it was drawn at"
    if (high <= 0).any() or (low >= size).any():
        raise UserError(f"{what} lies outside the image of {width} x {height} pixels; {remedy}.")
    if (overhang > (_OVERHANG_STATED if stated else _OVERHANG_UNSTATED)).any():
        raise UserError(
            f"{what} spans x {low[0]:g} to {high[0]:g}, y {low[1]:g} to {high[1]:g} on an image of "
            f"{width} x {height} pixels; {remedy}."
        )
    return bool((overhang > 0).any())


def outline_length(polygon: np.ndarray) -> float:
    """Pixels that the outline of a (points, 2) polygon passes, by its longer axis, as rasterisers walk."""
    return float(np.abs(np.diff(polygon, axis=0, append=polygon[:1])).max(axis=1).sum())


def require_drawable(length: float, what: str) -> None:
    """Raise UserError for an outline that is too long to be drawn; `length` in pixels."""
    if length > _LONGEST_OUTLINE:
        raise UserError(
            f"{what} has an outline of {length:.0f} pixels, more than {_LONGEST_OUTLINE}; redraw it."
        )


def rasterise(polygon: np.ndarray, height: int, width: int) -> RLE:
    """The mask of one (points, 2) polygon in pixels by COCO's rasteriser, clipped to the image."""
    (mask,) = coco.frPyObjects([polygon.ravel()], height, width)
    return as_text(mask)


def crosses_itself(polygon: np.ndarray) -> bool:
    """True if the outline of a (points, 2) polygon crosses itself, so that what it encloses is open to question.

    One that only touches itself, as outlines traced around thin vessels do, encloses what its signed area (the
    shoelace formula) says; where it crosses itself, parts of that cancel or count twice. One that meets itself
    hundreds of times is said to cross itself without computing what it encloses.
    """
    ring = shapely.linearrings(polygon)
    if shapely.is_simple(ring):
        return False
    if _meets_itself_too_often(shapely.get_coordinates(ring)):
        return True
    x, y = (polygon - polygon[0]).T
    signed = abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
    enclosed = shapely.area(shapely.make_valid(shapely.polygons(ring)))
    return not np.isclose(signed, enclosed, rtol=_SAME_AREA, atol=_SAME_AREA)


def _meets_itself_too_often(corners: np.ndarray) -> bool:
    """True if the closed outline through `corners`, float64 (points, 2), is not worth looking at any further."""
    pieces = np.asarray(shapely.linestrings(np.stack([corners[:-1], corners[1:]], axis=1)))
    tree = shapely.STRtree(pieces)
    crossings = touches = 0  # each counted from both sides
    step = max(_PAIRS_AT_A_TIME // len(pieces), 1)
    for start in range(0, len(pieces), step):
        some = pieces[start : start + step]
        crossings += tree.query(some, "crosses").shape[1]
        touches += tree.query(some, "intersects").shape[1]
        if crossings > 2 * _MOST_CROSSINGS or touches > 2 * _MOST_TOUCHES * (len(pieces) + _MOST_CROSSINGS):
            return True
    return False
