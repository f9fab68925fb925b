"""Where the walls of vessels lie between the pixels of a mask: as smooth as curves can be that give this mask.

A mask has the pixels whose centres lie in a shape. So a wall passes between the centres of the pixels inside and
of those outside, and every curve that does gives the same mask. Of these the ones with the least bending are
taken: what no pixel tells apart is not taken for a narrowing, and what the pixels tell stays. (Gibson's surface
nets, MICCAI 1998, rest on the same idea; the bending is that of Eilers' smoother, Analytical Chemistry 75, 2003.)

Both walls of a vessel are found at once, since what a vessel does is told by both: its diameter hardly bends, its
course does. Where the diameter does bend, at a narrowing, it counts with its absolute second difference, not with
the squared one, so that the pixels of a narrowing need not pull against it (trend filtering: Kim, Koh, Boyd and
Gorinevsky, SIAM Review 51, 2009).
"""

import numpy as np
from scipy.linalg.lapack import dpbsv

_AROUND = np.linspace(-1.25, 1.25, 6)  # pixels from a wall, where pixels are looked up across it
_REACH = 1  # pixels: centres farther from the first guess say nothing of a wall
_MARGIN = 0.03  # pixels between a wall and a centre: without, bends are flattened; with more, steps remain
# Weights of squared second differences, beside squared distances of centres on the wrong side.
_DIAMETER = 2.0  # of the sum of both walls' distances from the centre
_COURSE = 0.05  # of their difference
_BENT = 0.003  # pixels: a second difference of the diameter above it is a narrowing's, not an even taper's
_SHARPEST = 20 * _BENT  # above it no vessel bends: squares again, where pixels contradict each other
_HELD = 1e-4  # weight of the round before: what no pixel tells changes slowly
_ROUNDS = 12
_MOVED = 0.9  # share of the way to the curve of a round; all of it may lead to and fro
_SETTLED = 0.05  # pixels


def smooth_walls(
    mask: np.ndarray,
    walls: np.ndarray,
    *,
    centre: np.ndarray,
    normal: np.ndarray,
    step: np.ndarray,
    vessel: np.ndarray,
) -> np.ndarray:
    """How far the walls are from the centres of cross-sections, in pixels, float64 (2, n): against the normal and
    along it.

    Args:
        mask: bool (height, width).
        walls: float64 (2, n), a first guess, right to a pixel; NaN where there is none.
        centre, normal: float64 (n, 2), of the cross-sections, row and column in pixels.
        step: float64 (n,), from one cross-section to the next of its vessel, in pixels.
        vessel: int64 (n,), ascending: which vessel each is of. Walls of one do not bend those of the next.
    """
    n = len(vessel)
    # Points of the plane as one number each.
    middle, across = (each[:, 0] + 1j * each[:, 1] for each in (centre, normal))
    number = np.flatnonzero(~np.isnan(walls.ravel()))  # of the two walls of all cross-sections
    guess, out = walls.ravel()[number], np.concatenate([-across, across])[number]
    at = np.rint((middle[number % n] + guess * out)[:, None] + _AROUND * out[:, None])
    once = np.ones(at.shape, bool)  # each pixel counts once of a cross-section
    once[:, 1:] = at[:, 1:] != at[:, :-1]
    pixel, wall = at[once], np.repeat(np.arange(len(at)), once.sum(axis=1))
    beyond = pixel - middle[number[wall] % n]
    away = _part(beyond, out[wall])
    near = np.abs(away - guess[wall]) <= _REACH
    pixel, wall, beyond, away = pixel[near], number[wall[near]], beyond[near], away[near]
    section = wall % n
    place = section + _part(beyond, (across * -1j / step)[section])
    ends = np.searchsorted(vessel, vessel, "left"), np.searchsorted(vessel, vessel, "right") - 1
    place = place.clip(*(each[section] for each in ends))
    inside = _looked_up(mask, pixel)
    start = np.interp(np.arange(2 * n), number, guess).reshape(2, n)
    wanted = away + np.where(inside, _MARGIN, -_MARGIN)
    return _smoothest(start, wall // n, place, wanted, inside, np.diff(vessel) == 0)


def _part(vectors: np.ndarray, along: np.ndarray) -> np.ndarray:
    """The scalar products of vectors, as complex numbers."""
    return vectors.real * along.real + vectors.imag * along.imag


def _looked_up(mask: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Which pixels, row + i column, complex128 (m,), are in a mask; beyond its edge nothing is."""
    rows, columns = (each.astype(np.int64) for each in (at.real, at.imag))
    height, width = mask.shape
    within = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    inside = np.zeros(len(at), bool)
    inside[within] = mask[rows[within], columns[within]]
    return inside


def _smoothest(
    start: np.ndarray,
    wall: np.ndarray,
    place: np.ndarray,
    away: np.ndarray,
    inside: np.ndarray,
    joined: np.ndarray,
) -> np.ndarray:
    """The two curves of least bending that have some points below them and the others above them, float64 (2, n).

    A point on the wrong side counts with its squared distance, the others do not (a squared hinge): in each round
    the curves move towards the ones of the points that are on the wrong side, and of the bending as it is now.

    Args:
        start: float64 (2, n), a first guess.
        wall: int64 (m,), 0 or 1: of which curve each point is.
        place: float64 (m,), of the points, from 0 to n - 1.
        away: float64 (m,), how high they are.
        inside: bool (m,), which belong below the curve.
        joined: bool (n - 1,), whether the curves go on from a place to the next.
    """
    n, walls = start.shape[1], start.T.ravel()  # one after the other of the first place, of the second, ...
    before = np.minimum(place.astype(np.int64), n - 2)
    share = place - before
    first = 2 * before + wall
    whole = joined[1:] & joined[:-1]
    course = _bending(_COURSE * whole)
    for _ in range(_ROUNDS):
        bent = np.minimum(np.abs(np.diff(walls[0::2] + walls[1::2], 2)), _SHARPEST) / _BENT
        system = _both_walls(_bending(_DIAMETER * whole / np.sqrt(1 + bent**2)), course)
        wrong = (walls[first] * (1 - share) + walls[first + 2] * share < away) == inside
        left, right, some, far = 1 - share[wrong], share[wrong], first[wrong], away[wrong]
        wanted = _HELD * walls
        for beside, weight in ((some, left), (some + 2, right)):
            system[0] += np.bincount(beside, weight**2, 2 * n)
            wanted += np.bincount(beside, weight * far, 2 * n)
        system[2] += np.bincount(some, left * right, 2 * n)
        move = dpbsv(system, wanted, lower=True, overwrite_ab=True)[1] - walls
        walls = walls + _MOVED * move
        if np.abs(move).max() < _SETTLED:
            break
    return np.asarray(walls.reshape(n, 2).T)


def _bending(weight: np.ndarray) -> np.ndarray:
    """The matrix of a curve's squared second differences, each with its weight, float64 (n - 2,): its diagonal and
    the two below, (3, n)."""
    bands = np.zeros((3, len(weight) + 2))
    for below, products in enumerate(((1, 4, 1), (-2, -2), (1,))):
        for first, product in enumerate(products):
            bands[below, first : first + len(weight)] += product * weight
    return bands


def _both_walls(diameter: np.ndarray, course: np.ndarray) -> np.ndarray:
    """The matrix of two walls that take turns, its diagonal and the five below, (6, 2n).

    `diameter` is that of their sum, `course` that of their difference, both (3, n).
    """
    same, other = diameter + course, diameter - course
    bands = np.zeros((6, same.shape[1], 2))
    bands[::2] = same[..., None]
    bands[1, :, 0], bands[1, :, 1] = other[:2]
    bands[3, :, 0], bands[3, :, 1] = other[1:]
    bands[5, :, 0] = other[2]
    bands[0] += _HELD
    return bands.reshape(6, -1)
