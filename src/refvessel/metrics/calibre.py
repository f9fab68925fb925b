"""Of vessels of each calibre, how much of their centre lines is found, and how much of what is found is right."""

from itertools import pairwise

import numpy as np

from refvessel.geometry import WIDTH_EDGES

# The lower edge, in pixels, belongs to a calibre, the upper does not.
_CALIBRES = (
    f"under_{WIDTH_EDGES[0]}",
    *(f"{low}_to_{high}" for low, high in pairwise(WIDTH_EDGES)),
    f"{WIDTH_EDGES[-1]}_or_more",
)
CALIBRE_RECALL = tuple(f"recall_width_{calibre}" for calibre in _CALIBRES)
CALIBRE_PRECISION = tuple(f"precision_width_{calibre}" for calibre in _CALIBRES)


def found_by_calibre(widths: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Of one mask's skeleton pixels of each calibre the share that lies in the other mask.

    Args:
        widths: of the vessel at each pixel of the skeleton, pixels, as `local_widths` gives them.
        found: bool, whether the other mask has that pixel.

    Returns:
        float64, one share per calibre; NaN where the skeleton has none of it.
    """
    calibre = np.searchsorted(WIDTH_EDGES, widths, side="right")
    pixels = np.bincount(calibre, minlength=len(_CALIBRES))
    hits = np.bincount(calibre[found], minlength=len(_CALIBRES))
    return np.divide(hits, pixels, out=np.full(len(_CALIBRES), np.nan), where=pixels > 0)
