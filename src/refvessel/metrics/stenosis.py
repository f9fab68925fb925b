"""How narrow a vessel is at its narrowest place, against what it would be without: quantitative angiography."""

from typing import NamedTuple

import numpy as np

_ROUNDS = 20  # of fitting and leaving out what is narrow; it settles after a few
_NARROW = 0.3  # pixels below the reference from which on a place is narrowed; what is measured varies less
_THINNEST = 0.5  # pixels, of a reference


class Stenosis(NamedTuple):
    """Of one vessel: its minimal lumen diameter and its reference there, in pixels, and the diameter stenosis,
    100 x (1 - minimal / reference), in percent."""

    minimal: float
    reference: float
    percent: float
    place: int


def stenosis(diameters: np.ndarray) -> Stenosis:
    """The narrowest place of a vessel relative to its reference; `diameters` in pixels, evenly along it, known.

    The reference is a straight line through the diameters that are not narrowed, as the interpolated reference of
    quantitative coronary angiography: a line is fitted, what lies below it by more than noise is left out, and so
    on until nothing changes.
    """
    along = np.linspace(-1, 1, len(diameters))
    kept = np.ones(len(diameters), bool)
    reference = diameters
    for _ in range(_ROUNDS):
        reference = _line(along[kept], diameters[kept], along)
        residual = diameters - reference
        now = residual > -_NARROW
        if (now == kept).all() or now.sum() < 3:
            break
        kept = now
    percent = 100 * (1 - diameters / np.maximum(reference, _THINNEST))
    place = int(percent.argmax())
    return Stenosis(float(diameters[place]), float(reference[place]), float(percent[place]), place)


def _line(along: np.ndarray, values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The straight line of least squares through some values, at other places."""
    centred = along - along.mean()
    slope = (centred @ values) / (centred @ centred)
    return np.asarray(values.mean() + slope * (places - along.mean()))
