"""Coronary-like trees and the catheter that fills them, as tubes in the image plane.

Coordinates are pixels, x to the right and y downwards; the pixel of row i and column j covers
[j, j + 1] x [i, i + 1]. Angles are radians, clockwise on the screen.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

SIZE = 512  # side of an image
_STEP = 3.0  # distance of a centreline's points
_MIN_RADIUS, _MAX_RADIUS = 1.0, 7.0  # vessels are 2 to 14 pixels wide
_MAX_GENERATION = 3
_MARGIN = 24  # pixels that a tree at rest keeps from the border


@dataclass(frozen=True)
class Tube:
    """A tube of varying radius.

    `points` is (n, 2) float64, the centreline as (x, y); `radius` is (n,) float64;
    `path` is (n,) float64, how far the contrast agent has run from the ostium to each point.
    """

    points: np.ndarray
    radius: np.ndarray
    path: np.ndarray

    def polygon(self) -> np.ndarray:
        """The outline, (m, 2) float64: down the one side and back up the other, cut off at the image's border."""
        tangent = np.gradient(self.points, axis=0)
        tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
        offset = self.radius[:, None] * np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
        outline = np.concatenate([self.points + offset, (self.points - offset)[::-1]])
        if ((outline >= 0) & (outline <= SIZE)).all():
            return outline
        drawn: BaseGeometry = shapely.Polygon(outline)
        if not shapely.is_valid(drawn):  # in a sharp bend the inner side crosses itself
            drawn = shapely.make_valid(drawn, method="structure", keep_collapsed=False)
        inside = shapely.intersection(drawn, shapely.box(0, 0, SIZE, SIZE))
        largest = max(shapely.get_parts(inside), key=shapely.area)
        return shapely.get_coordinates(shapely.get_exterior_ring(largest))[:-1]


class Bud(NamedTuple):
    """Where a vessel begins: point (x, y), direction, and the contrast agent's way to it."""

    point: np.ndarray
    heading: float
    path: float


def coronary_tree(rng: np.random.Generator) -> list[Tube]:
    """A left tree (stem that divides in two) or a right one (one large arc), the ostium first.

    Half of the trees are mirrored, so that an ostium may lie on either side.
    """
    tree = _left_tree(rng) if rng.random() < 0.6 else _right_tree(rng)
    if rng.random() < 0.5:
        tree = [Tube(tube.points * (-1, 1) + (SIZE, 0), tube.radius, tube.path) for tube in tree]
    return tree


def catheter(entry: np.ndarray, ostium: np.ndarray, heading: np.ndarray, radius: float) -> Tube:
    """A tube of constant radius from `entry` at the upper border that ends in `ostium` along `heading`.

    `entry`, `ostium` (x, y) and `heading` (a unit vector) are (2,) float64. The curve is a cubic Hermite
    spline.
    """
    reach = np.linalg.norm(ostium - entry)
    start, end = np.array([0.0, 1.4 * reach]), 0.9 * reach * heading
    t = np.linspace(0, 1, max(8, int(1.2 * reach / _STEP)))[:, None]
    points = (
        (2 * t**3 - 3 * t**2 + 1) * entry
        + (t**3 - 2 * t**2 + t) * start
        + (3 * t**2 - 2 * t**3) * ostium
        + (t**3 - t**2) * end
    )
    return Tube(points, np.full(len(t), radius), np.zeros(len(t)))


def _left_tree(rng: np.random.Generator) -> list[Tube]:
    ostium = Bud(rng.uniform((110, 110), (190, 190)), rng.uniform(-0.5, 0.2), 0.0)
    stem = _walk(rng, ostium, rng.uniform(40, 80), 0.2, (rng.uniform(5.6, _MAX_RADIUS), 5.2))
    upper = _bud(stem, -1, -rng.uniform(0.1, 0.5))
    lower = _bud(stem, -1, rng.uniform(0.7, 1.1))
    descending = _branch(rng, upper, rng.uniform(380, 480), rng.uniform(1.5, 2.2), 4.8)
    circumflex = _branch(rng, lower, rng.uniform(300, 420), rng.uniform(-0.6, 0.4), 4.6)
    return [stem, *descending, *circumflex]


def _right_tree(rng: np.random.Generator) -> list[Tube]:
    ostium = Bud(rng.uniform((270, 90), (350, 150)), rng.uniform(2.8, 3.4), 0.0)
    return _branch(rng, ostium, rng.uniform(560, 680), rng.uniform(-3.7, -3.0), rng.uniform(5.4, _MAX_RADIUS))


def _branch(
    rng: np.random.Generator, bud: Bud, length: float, turn: float, radius: float, generation: int = 1
) -> list[Tube]:
    """A vessel that tapers, and its side branches: thinner, shorter, leaving alternately to both sides."""
    end_radius = max(_MIN_RADIUS, radius * rng.uniform(0.3, 0.5))
    tube = _walk(rng, bud, length, turn, (radius, end_radius))
    tubes = [tube]
    if generation == _MAX_GENERATION or len(tube.points) < 12:
        return tubes
    side = rng.choice((-1, 1))
    position = rng.uniform(0.12, 0.25)
    while position < 0.92:
        at = int(position * (len(tube.points) - 1))
        branch_radius = tube.radius[at] * rng.uniform(0.5, 0.8)
        branch_length = length * (1 - 0.6 * position) * rng.uniform(0.25, 0.5)
        if branch_radius >= _MIN_RADIUS and branch_length > 25:
            angle = side * rng.uniform(0.6, 1.2)
            back = -angle * rng.uniform(-0.3, 0.8)
            tubes += _branch(rng, _bud(tube, at, angle), branch_length, back, branch_radius, generation + 1)
        side = -side
        position += rng.uniform(0.12, 0.3)
    return tubes


def _walk(rng: np.random.Generator, bud: Bud, length: float, turn: float, radii: tuple[float, float]) -> Tube:
    """A tube that turns by `turn` over its `length`, winds a little, and stops near the image's border.

    Its curvature stays below 0.4 / radius, so that an outline never crosses itself.
    """
    steps = max(4, round(length / _STEP))
    t = np.linspace(0, 1, steps)
    radius = radii[0] + (radii[1] - radii[0]) * t
    wavelengths = rng.uniform(110, 380, size=3)
    phases = rng.uniform(0, 2 * np.pi, size=3)
    winding = (np.sin(2 * np.pi * length / wavelengths * t[:, None] + phases) / wavelengths).sum(axis=1)
    curvature = turn / length + rng.uniform(1.6, 3.8) / radii[0] ** 0.4 * winding
    angle = bud.heading + np.cumsum(curvature.clip(-0.4 / radius, 0.4 / radius)) * _STEP
    steps_xy = _STEP * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points = bud.point + np.concatenate([np.zeros((1, 2)), np.cumsum(steps_xy, axis=0)[:-1]])
    outside = ((points < _MARGIN) | (points > SIZE - _MARGIN)).any(axis=1)
    stop = max(2, int(outside.argmax())) if outside.any() else steps
    return Tube(points[:stop], radius[:stop], bud.path + _STEP * np.arange(stop))


def _bud(tube: Tube, at: int, angle: float) -> Bud:
    """A side branch's beginning at point `at` of a tube, turned by `angle` from the tube's direction."""
    dx, dy = np.gradient(tube.points, axis=0)[at]
    return Bud(tube.points[at], float(np.arctan2(dy, dx)) + angle, tube.path[at])
