"""Which frames of a sequence the language model sees.

first: the official choice. Coronary runs often begin before the contrast agent arrives: then no vessel is seen.
uniform: equal steps from the first to the last frame, rounded down, as Sa2VA-i takes them.
contrast: frames in a row, those in which vessels are darkest altogether.

How dark the vessels of one frame are is measured in this frame alone: how much a grey closing, which fills all
that is dark and narrower than a large vessel, brightens it, relative to the closing. So a table that moves, a
heart that beats, an exposure that drifts and ribs that are always there do not matter, and no frame has to be
kept.
"""

from collections.abc import Iterable

import numpy as np
from PIL import Image

from refvessel.settings.video_section import Shown

_SIDE = 256  # pixels, at which vessels are measured
_WIDEST = 13  # pixels of these: a wide coronary artery or catheter is 4% to 5% of the image


def first_frames(count: int, wanted: int) -> list[int]:
    """The first `wanted` of `count` frames, or all."""
    return list(range(min(count, wanted)))


def uniform_frames(count: int, wanted: int) -> list[int]:
    """`wanted` of `count` frames in equal steps, the first and the last among them, or all."""
    return sorted(set(np.linspace(0, count - 1, wanted, dtype=int).tolist()))


def contrast_frames(signals: Iterable[float], wanted: int) -> list[int]:
    """The `wanted` frames in a row whose signals have the largest sum (see `vessel_signal`), or all."""
    values = np.fromiter(signals, float)
    wanted = min(wanted, len(values))
    sums = np.convolve(values, np.ones(wanted), "valid")
    first = int(np.argmax(sums))
    return list(range(first, first + wanted))


def vessel_signal(image: Image.Image) -> float:
    """How dark thin structures are in a frame: 0 for none, to 1; the mean share of light that they take."""
    from scipy import ndimage  # half a second to load, which other choices do without

    grey = np.asarray(image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX), np.float32)
    filled = ndimage.grey_closing(grey, size=(_WIDEST, _WIDEST), mode="nearest")
    return float(np.mean((filled - grey) / (filled + 1)))


def shown_without_pixels(shown: Shown, count: int, wanted: int) -> list[int] | None:
    """The frames, where their number alone says which; None for contrast."""
    if shown == "contrast":
        return None
    return (first_frames if shown == "first" else uniform_frames)(count, wanted)
