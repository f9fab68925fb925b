"""Where the walls of vessels lie between the pixels of a mask: as smooth as curves can be that give this mask.

A mask has the pixels whose centres lie in a shape. So a wall passes between the centres of the pixels inside and
of those outside, and every curve that does gives the same mask. Of these the one with the least bending is taken:
what no pixel tells apart is not taken for a narrowing, and what the pixels tell stays. (Gibson's surface nets,
MICCAI 1998, rest on the same idea; the bending is that of Eilers' smoother, Analytical Chemistry 75, 2003.)
"""

import numpy as np
from scipy.linalg import solveh_banded

_AROUND = np.linspace(-1.25, 1.25, 6)  # pixels from a wall, where pixels are looked up across it
_REACH = 1  # pixels: centres farther from the first guess say nothing of a wall
_MARGIN = 0.02  # pixels between a wall and a centre: without, bends are flattened; with more, steps remain
_BENDING = 0.3  # weight of squared second differences beside squared distances of centres on the wrong side
_HELD = 1e-4  # weight of the round before: what no pixel tells changes slowly
_ROUNDS = 15
_MOVED = 0.75  # share of the way to the curve of a round; all of it may lead to and fro
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
    outwards = np.concatenate([-normal, normal])
    number = np.flatnonzero(~np.isnan(walls.ravel()))  # of the two walls of all cross-sections
    guess, section, out = walls.ravel()[number], number % n, outwards[number]
    at = np.rint((centre[section] + guess[:, None] * out)[:, None] + _AROUND[:, None] * out[:, None])
    beyond = at - centre[section][:, None]
    away = np.einsum("spx,sx->sp", beyond, out)
    forwards = np.stack([normal[section, 1], -normal[section, 0]], axis=1)
    place = section[:, None] + np.einsum("spx,sx->sp", beyond, forwards) / step[section, None]
    ends = np.searchsorted(vessel, vessel, "left"), np.searchsorted(vessel, vessel, "right") - 1
    place = place.clip(*(each[section, None] for each in ends)) + (number - section)[:, None]
    near = abs(away - guess[:, None]) <= _REACH
    inside = _looked_up(mask, at[near])
    start = np.interp(np.arange(2 * n), number, guess)
    joined = np.diff(np.concatenate([vessel, vessel + vessel[-1] + 1])) == 0
    wanted = away[near] + np.where(inside, _MARGIN, -_MARGIN)
    return _smoothest(start, place[near], wanted, inside, joined).reshape(2, n)


def _looked_up(mask: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Which pixels (m, 2) are in a mask; beyond its edge nothing is."""
    padded = np.pad(mask, 1)
    rows, columns = (at.T + 1).clip(0, [[mask.shape[0] + 1], [mask.shape[1] + 1]]).astype(np.int64)
    return padded[rows, columns]


def _smoothest(
    start: np.ndarray, place: np.ndarray, away: np.ndarray, inside: np.ndarray, joined: np.ndarray
) -> np.ndarray:
    """The curve of least bending that has some points below it and the others above it.

    A point on the wrong side counts with its squared distance, the others do not (a squared hinge): in each round
    the curve moves towards the one of the points that are on the wrong side.

    Args:
        start: float64 (n,), a first guess.
        place: float64 (m,), of the points, from 0 to n - 1.
        away: float64 (m,), how high they are.
        inside: bool (m,), which belong below the curve.
        joined: bool (n - 1,), whether the curve goes on from a place to the next.
    """
    n, curve = len(start), start
    first = np.minimum(place.astype(np.int64), n - 2)
    share = place - first
    bending = _bending(joined)
    for _ in range(_ROUNDS):
        wrong = (curve[first] * (1 - share) + curve[first + 1] * share < away) == inside
        left, right = 1 - share[wrong], share[wrong]
        system, wanted = bending.copy(), _HELD * curve
        for beside, weight in ((first[wrong], left), (first[wrong] + 1, right)):
            system[0] += np.bincount(beside, weight**2, n)
            wanted += np.bincount(beside, weight * away[wrong], n)
        system[1] += np.bincount(first[wrong], left * right, n)
        move = solveh_banded(system, wanted, lower=True, check_finite=False) - curve
        curve = curve + _MOVED * move
        if np.abs(move).max() < _SETTLED:
            break
    return curve


def _bending(joined: np.ndarray) -> np.ndarray:
    """The matrix of the squared second differences of a curve, its diagonal and the two below, (3, n)."""
    whole = _BENDING * (joined[1:] & joined[:-1])
    bands = np.zeros((3, len(joined) + 1))
    for below, products in enumerate(((1, 4, 1), (-2, -2), (1,))):
        for first, product in enumerate(products):
            bands[below, first : first + len(whole)] += product * whole
    bands[0] += _HELD
    return bands
