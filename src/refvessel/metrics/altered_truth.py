"""Predictions that are their truth, altered: with noise, shifted, dilated or eroded.

A good model comes as close to the truth as an altered truth does, but elsewhere: it errs along boundaries. So what
counts is not how close a prediction is, but that one alteration explains nearly all in which it differs. What a
bound leaves between models and forgeries is measured by `benchmarks/forgery.py`.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from scipy import ndimage

from refvessel.sentences import marked, sentence

_FARTHEST = 2  # pixels, of shifts, dilations and erosions
_MOST_DIFFERENT = 8  # times the truth's pixels; more is no alteration that anybody would pass off
_FEWEST_DIFFERENT = 32  # pixels; fewer may agree by chance
_MOST_UNEXPLAINED = 0.05  # of the pixels in which a prediction differs from its truth
_TRIED = 512  # of these, to see which alterations are worth a closer look
_FEWEST_SINGLE = 8  # pixels
# Single pixels among those in which a prediction differs away from the truth's boundary. In small images a single
# logit may be a single pixel.
_LEAST_SINGLE, _LEAST_SINGLE_OF_SMALL, _SMALL = 0.6, 0.9, 256
# Of noise along the boundary: pixels, the share of them that touch it, and of those that differ from most of their
# neighbours (_MOST of 8): what a model errs in goes on along the boundary, noise stands out.
_FEWEST_RAGGED, _LEAST_TOUCHING, _LEAST_STANDING_OUT, _MOST = 16, 0.9, 0.6, 5


@dataclass(frozen=True)
class Alteration:
    """What makes a prediction of its truth.

    change: in words.
    different: pixels in which the prediction differs from its truth.
    unexplained: pixels in which it differs from the altered truth; with noise, those that are no single pixels or
        do not stand out.
    """

    change: str
    different: int
    unexplained: int


def alteration_of(
    predicted: np.ndarray, truth: np.ndarray, ignored: np.ndarray | None = None
) -> Alteration | None:
    """How a prediction follows from its truth, None where it does not.

    What an alteration does at the image's edge is a matter of taste, so nothing within its reach is looked at.

    Args:
        predicted: bool (height, width).
        truth: of the same shape.
        ignored: likewise; pixels that say nothing.
    """
    if min(truth.shape) <= 2 * _FARTHEST:
        return None
    kept = np.zeros(truth.shape, bool)
    kept[_FARTHEST:-_FARTHEST, _FARTHEST:-_FARTHEST] = True
    if ignored is not None:
        kept &= ~ignored
    differs = (predicted != truth) & kept
    places = np.flatnonzero(differs)
    if not _FEWEST_SINGLE <= len(places) <= _MOST_DIFFERENT * np.count_nonzero(truth):
        return None
    return (
        _moved(predicted, truth, kept, places)
        or _noisy(truth, differs, places)
        or _ragged(predicted, truth, places)
    )


@dataclass(frozen=True)
class _Change:
    """A dilation or erosion by the pixels of `element`, uint8 (5, 5), around each; by one pixel it is a shift."""

    said: dict[str, Any]
    element: np.ndarray
    erodes: bool = False

    def apply(self, truth: np.ndarray) -> np.ndarray:
        """The altered truth."""
        if self.erodes:  # nothing is eroded from the image's edge on
            return ndimage.binary_erosion(truth, self.element, border_value=1)
        return ndimage.binary_dilation(truth, self.element[::-1, ::-1])

    def at(self, neighbours: np.ndarray) -> np.ndarray:
        """The same at some pixels, bool (pixels,), of which the truth around is given, bool (pixels, 5, 5)."""
        chosen = neighbours[:, self.element == 1]
        return np.asarray(chosen.all(axis=1) if self.erodes else chosen.any(axis=1))


_SQUARE, _DIAMOND, _ELLIPSE = marked("square"), marked("diamond"), marked("ellipse")
_VERBS = {  # whether it erodes
    marked("dilated by %(radius)s px (%(shape)s)"): False,
    marked("eroded by %(radius)s px (%(shape)s)"): True,
}


def _changes() -> list[_Change]:
    reach = range(-_FARTHEST, _FARTHEST + 1)
    down, right = np.meshgrid(reach, reach, indexing="ij")
    found = [
        _Change(
            sentence("shifted by %(rows)s rows and %(columns)s columns", rows=-y, columns=-x),
            ((down == y) & (right == x)).astype(np.uint8),
        )
        for y, x in product(reach, reach)
        if y or x
    ]
    for radius, (verb, erodes) in product(reach[_FARTHEST + 1 :], _VERBS.items()):
        shapes = {
            _SQUARE: np.maximum(abs(down), abs(right)) <= radius,
            _DIAMOND: abs(down) + abs(right) <= radius,
        }
        if radius == _FARTHEST:  # a smaller one is the diamond
            shapes[_ELLIPSE] = (abs(down) < radius) | (right == 0)  # as OpenCV draws one of 5x5 pixels
        found += [
            _Change(sentence(verb, radius=radius, shape=sentence(name)), np.asarray(shape, np.uint8), erodes)
            for name, shape in shapes.items()
        ]
    return found


_CHANGES = _changes()
_NOISE, _RAGGED = sentence("with noise"), sentence("with noise along its boundary")
SAID = {
    said["text"]: said for said in (_NOISE, _RAGGED, *(change.said for change in _CHANGES))
}  # by its text


def _moved(
    predicted: np.ndarray, truth: np.ndarray, kept: np.ndarray, places: np.ndarray
) -> Alteration | None:
    """The shift, dilation or erosion that explains a prediction; noise on top of it is no obstacle.

    Args:
        predicted: bool (height, width).
        truth: of the same shape.
        kept: likewise; pixels that are looked at.
        places: flat indices of those in which the two differ.
    """
    is_single = _others(_around(predicted, places, 1)).all(axis=1)
    cleaned = predicted.copy()
    cleaned.ravel()[places[is_single]] ^= True
    places = places[~is_single]
    different = len(places)
    if different < _FEWEST_DIFFERENT:
        return None
    tried = places[np.linspace(0, different - 1, min(different, _TRIED)).astype(int)]
    around, wanted = _around(truth, tried, _FARTHEST), cleaned.ravel()[tried]
    found = []
    for change in _CHANGES:
        if (change.at(around) != wanted).mean() <= 2 * _MOST_UNEXPLAINED:
            unexplained = int(np.count_nonzero((cleaned != change.apply(truth)) & kept))
            found.append(Alteration(change.said["text"], different, unexplained))
    best = min(found, key=lambda each: each.unexplained, default=None)
    return best if best and best.unexplained <= _MOST_UNEXPLAINED * different else None


def _noisy(truth: np.ndarray, differs: np.ndarray, places: np.ndarray) -> Alteration | None:
    """Noise, where a prediction differs in single pixels away from the truth's boundary, and in little else.

    Args:
        truth: bool (height, width).
        differs: of the same shape; where the prediction differs.
        places: the flat indices of that.
    """
    is_away = ~_others(_around(truth, places, 1)).any(axis=1)
    away = places[is_away]
    beside = _around(differs, away, 1)[:, [0, 1, 1, 2], [1, 0, 2, 1]]
    single = int(np.count_nonzero(~beside.any(axis=1)))
    least = _LEAST_SINGLE_OF_SMALL if min(truth.shape) < _SMALL else _LEAST_SINGLE
    if single < max(_FEWEST_SINGLE, least * len(away)):
        return None
    return Alteration(_NOISE["text"], len(places), len(places) - single)


def _ragged(predicted: np.ndarray, truth: np.ndarray, places: np.ndarray) -> Alteration | None:
    """Noise along the truth's boundary. In small images a single logit may stand out.

    Args:
        predicted: bool (height, width).
        truth: of the same shape.
        places: the flat indices of pixels in which the two differ.
    """
    if len(places) < _FEWEST_RAGGED or min(truth.shape) < _SMALL:
        return None
    touching = _others(_around(truth, places, 1)).any(axis=1)
    standing_out = _others(_around(predicted, places, 1)).sum(axis=1) >= _MOST
    if touching.mean() < _LEAST_TOUCHING or standing_out.mean() < _LEAST_STANDING_OUT:
        return None
    return Alteration(_RAGGED["text"], len(places), int(np.count_nonzero(~standing_out)))


def _around(mask: np.ndarray, places: np.ndarray, reach: int) -> np.ndarray:
    """What is around some pixels, by their flat indices: bool (places, side, side), side = 2 * reach + 1."""
    windows = np.lib.stride_tricks.sliding_window_view(mask, (2 * reach + 1,) * 2)
    rows, columns = np.divmod(places, mask.shape[1])
    return np.asarray(windows[rows - reach, columns - reach])


def _others(around: np.ndarray) -> np.ndarray:
    """Which of the 8 neighbours differ from the pixel in their midst, bool (places, 8)."""
    return np.delete((around != around[:, 1:2, 1:2]).reshape(len(around), 9), 4, axis=1)
