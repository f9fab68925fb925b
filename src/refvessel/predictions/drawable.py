"""Whether a model could have drawn a mask: it upsamples a square of logits linearly and cuts at a threshold.

Along a row or column of pixels, what it cuts is linear between two neighbouring logits (a cell), so it crosses the
threshold at most once in each. As the model upsamples twice, first to SAM2's input, a crossing between two pixels
lies in one of the cells that these span together with the pixels of that input around them. A line whose changes
between foreground and background cannot all have a cell of their own was not drawn so. That holds for any logits
and any threshold; where an image has no more pixels than there are logits, every line passes.
"""

from functools import lru_cache

import numpy as np

from refvessel.mask_logits import LOGITS_SCALE
from refvessel.predictions.upsampling import places

LOGITS_SIDE = 256  # of the square of logits in every released Sa2VA
_LEAST_SHARE = 1 / 256  # of an image's rows and columns; below it, rounding may have decided
_FEWEST = 3


def could_be_drawn(mask: np.ndarray) -> bool:
    """False for a mask, bool (height, width), that no logits give; True where nothing speaks against it.

    A few lines are forgiven, as rounding decides where logits are all but at the threshold.
    """
    return impossible_lines(mask) < max(_FEWEST, _LEAST_SHARE * sum(mask.shape))


def impossible_lines(mask: np.ndarray, side: int = LOGITS_SIDE) -> int:
    """How many rows and columns of a mask, bool (height, width), no square of `side` x `side` logits gives."""
    return _impossible_rows(mask, side) + _impossible_rows(np.ascontiguousarray(mask.T), side)


def _impossible_rows(mask: np.ndarray, side: int) -> int:
    row, place = np.divmod(np.flatnonzero(mask[:, 1:] != mask[:, :-1]), mask.shape[1] - 1)
    if not len(row):
        return 0
    first, last = _cells_of_changes(mask.shape[1], side)
    # Each change takes the first of its cells that is left. With `taken` the cell, taken - number is a running
    # maximum of first - number; rows are kept apart by an offset that is larger than any cell or number of one.
    number = np.arange(len(row)) - row * (side + mask.shape[1])
    taken = number + np.maximum.accumulate(first[place] - number)
    return len(np.unique(row[taken > last[place]]))


@lru_cache(maxsize=64)
def _cells_of_changes(length: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The first and the last cell that a crossing between a pixel and the next may lie in, int64 (length - 1,).

    A pair that lies beyond the outermost logits, which have one value there, has a last cell before its first.
    """
    square = LOGITS_SCALE * side
    among_logits = np.clip((np.arange(square) + 0.5) / LOGITS_SCALE - 0.5, 0, side - 1)
    of_pixels = np.minimum(places(square, length), square - 1)
    before, after = (among_logits[each(of_pixels).astype(int)] for each in (np.floor, np.ceil))
    return np.floor(before[:-1]).astype(int), np.ceil(after[1:]).astype(int) - 1
