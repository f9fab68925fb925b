"""How narrow a vessel is at its narrowest place, against what it would be without: quantitative angiography."""

from typing import NamedTuple

import numpy as np

_ROUNDS = 10  # of fitting and leaving out what is narrow; it settles after a few
_NOISE = 0.1  # pixels, standard deviation of measured diameters
_NARROW = 2 * _NOISE  # below the reference from there on a place is narrowed
_WIDE = 4 * _NOISE  # above it from there on another vessel opens or runs beside, which is rarer
# Standard deviation, pixels a pixel: of coronary arteries (Dodge et al., Circulation 86, 1992).
_TAPER = 0.015
_FEWEST = 12  # places on a reference
_THINNEST = 0.5  # pixels, of a reference


class Stenosis(NamedTuple):
    """Of one vessel: its minimal lumen diameter and its reference there, in pixels, and the diameter stenosis,
    100 x (1 - minimal / reference), in percent."""

    minimal: float
    reference: float
    percent: float
    place: int


def stenoses(diameters: np.ndarray) -> list[Stenosis]:
    """The narrowest place of each of some vessels of one length relative to its reference.

    The reference is a straight line through the diameters that are not narrowed, as the interpolated reference of
    quantitative coronary angiography. Of all lines it is the one that the diameters and the taper of vessels make
    most likely, where each place is either on it, but for noise, or narrowed by whatever it is, or, less often,
    wider: squared residuals that stop counting more at `_NARROW` and `_WIDE` (a truncated least squares, as the
    consensus of Torr and Zisserman, Computer Vision and Image Understanding 78, 2000).

    Args:
        diameters: float64 (k, n), in pixels, evenly along each of k vessels, known.
    """
    references = np.maximum(_likeliest_lines(diameters), _THINNEST)
    percents = 100 * (1 - diameters / references)
    return [
        Stenosis(float(widths[place]), float(reference[place]), float(percent[place]), int(place))
        for widths, reference, percent, place in zip(
            diameters, references, percents, percents.argmax(axis=1), strict=True
        )
    ]


def _likeliest_lines(diameters: np.ndarray) -> np.ndarray:
    """The references at each place, float64 (k, n).

    From each of some first guesses a line is fitted, what lies too far from it is left out, and so on until
    nothing changes; the likeliest of these is taken. The guesses are that of least squares and three that lie on
    the widest place, so that also a vessel that is narrowed for most of its length shows what it was.
    """
    k, n = diameters.shape
    along = np.arange(n) - (n - 1) / 2
    slopes = np.empty((k, 4))
    slopes[:, :3], slopes[:, 3] = (-_TAPER, 0, _TAPER), diameters @ along / (along @ along)
    middles = (diameters[:, None] - slopes[..., None] * along).max(axis=2)
    middles[:, 3] = diameters.mean(axis=1)
    held = (_NOISE / _TAPER) ** 2
    powers = np.empty((k, n, 5))
    powers[..., 0], powers[..., 1], powers[..., 2] = 1, along, along**2
    powers[..., 3], powers[..., 4] = diameters, along * diameters
    residual = diameters[:, None] - middles[..., None] - slopes[..., None] * along
    kept = np.zeros(residual.shape, bool)
    for _ in range(_ROUNDS):
        now = (residual > -_NARROW) & (residual < _WIDE)
        if (now == kept).all():
            break
        kept = now
        count, first, second, sums, products = np.moveaxis(kept @ powers, 2, 0)
        count, second = np.maximum(count, 1), second + held
        determinant = count * second - first**2
        middles = (second * sums - first * products) / determinant
        slopes = (count * products - first * sums) / determinant
        residual = diameters[:, None] - middles[..., None] - slopes[..., None] * along
    unlikely = (residual.clip(-_NARROW, _WIDE) ** 2).sum(axis=2) + held * slopes**2
    # More than all residuals: a line with enough places on it is taken, if there is one.
    unlikely[kept.sum(axis=2) < _FEWEST] += n
    vessel, best = np.arange(k), unlikely.argmin(axis=1)
    return diameters - residual[vessel, best]
