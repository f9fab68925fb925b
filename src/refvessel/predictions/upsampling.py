"""What mask logits say at an image's size, without torch: the one way of all stages after inference."""

from functools import lru_cache

import numpy as np
from scipy.sparse import csr_array

from refvessel.mask_logits import LOGITS_SCALE


def image_logits(logits: np.ndarray, *, height: int, width: int) -> np.ndarray:
    """Logits of one expression at its image's size: (masks, side, side) to float32 (masks, height, width).

    Interpolated as the model's own masks are: to SAM2's square and from there to the image, linearly along both
    axes, which is one matmul per axis. Values differ from torch's by rounding alone, a few units in the last place
    of float32, as torch's own do between processors.
    """
    side = logits.shape[-1]
    rows, columns = _to_image(side, height), _to_image(side, width)
    return np.stack([(columns @ (rows @ each).T).T for each in logits.astype(np.float32)])


def masks_of_logits(logits: np.ndarray, *, height: int, width: int, threshold: float) -> np.ndarray:
    """Masks of one expression at its image's size.

    Args:
        logits: (masks, side, side).
        height: of the image, in pixels.
        width: of the image, in pixels.
        threshold: the probability above which a pixel is foreground, from 0 to 1, both excluded.

    Returns:
        bool (masks, height, width)
    """
    return image_logits(logits, height=height, width=width) > logit(threshold)


def logit(probability: np.ndarray | float) -> np.ndarray:
    """The logits of probabilities, float32 as the logits that they are compared with."""
    return (np.log(probability) - np.log1p(-np.asarray(probability))).astype(np.float32)


def places(before: int, after: int) -> np.ndarray:
    """Where the centres of `after` pixels lie among those of `before` values along a line, float32 (after,).

    They are rounded to float32 once, as by the fused multiply-add that torch has: a second rounding moves a weight
    by up to 1e-4, and with it, now and then, a pixel of a mask.
    """
    scale = np.float64(np.float32(before / after))
    return np.maximum(scale * (np.arange(after) + 0.5) - 0.5, 0).astype(np.float32)


@lru_cache(maxsize=64)
def _to_image(side: int, length: int) -> csr_array:
    """From `side` logits along an axis to the `length` pixels of an image, by way of SAM2's input."""
    return _interpolation(LOGITS_SCALE * side, length) @ _interpolation(side, LOGITS_SCALE * side)


def _interpolation(before: int, after: int) -> csr_array:
    """Linear interpolation of `before` values at the centres of `after` pixels, float32 (after, before).

    As torch's `interpolate` with `align_corners=False`: beyond the outermost centres the values go on as they are.
    """
    where = places(before, after)
    first = np.minimum(where.astype(int), before - 1)
    second = np.minimum(first + 1, before - 1)
    share = where - first.astype(np.float32)
    weights = np.concatenate([1 - share, share]).astype(np.float32)
    cells = np.tile(np.arange(after), 2), np.concatenate([first, second])
    return csr_array((weights, cells), shape=(after, before))  # what falls on one cell is added up
