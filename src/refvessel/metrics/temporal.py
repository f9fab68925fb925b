"""How steady the masks of a sequence are from frame to frame.

The masks of a beating heart change because the heart moves: what counts is what changes besides. So a mask is
laid on the next frame by the motion between the two images, and then compared. The motion is dense optical
flow: vessels bend and stretch with the heart, which one shift of the whole image (phase correlation) does not
follow. Of scikit-image's two methods it is the iterative Lucas-Kanade one, ten times faster than TV-L1 and no
worse: between frames of synthetic angiograms the true masks have an IoU of 0.88 after it, of 0.86 after TV-L1,
of 0.65 after phase correlation and of 0.59 without any.
"""

import numpy as np
from PIL import Image
from scipy.ndimage import map_coordinates
from skimage.registration import optical_flow_ilk
from skimage.transform import resize

from refvessel.metrics.boundary import region_similarity

_SIDE = 128  # pixels of the longer side at which motion is estimated
_RADIUS = 7  # of these pixels, around each
_WARPS = 3  # how often an image is laid on the other

MOTION = {"method": "optical_flow_ilk", "longer_side": _SIDE, "radius": _RADIUS, "warps": _WARPS}

_LEVELS = 255.0  # of grey


def reduced(image: Image.Image) -> np.ndarray:
    """An image as `motion` takes it: grey, 0 to 1, float32 (rows, columns), its longer side at most _SIDE."""
    grey = image.convert("L")
    grey.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
    return np.asarray(grey, np.float32) / _LEVELS


def motion(previous: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Where each pixel of a frame was on the previous one, relative to it: rows and columns of both `reduced`.

    Float32 (2, rows, columns). `enlarged` makes it one of the masks' pixels.
    """
    flow = optical_flow_ilk(current, previous, radius=_RADIUS, num_warp=_WARPS)
    return np.asarray(flow, np.float32)


def enlarged(flow: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A `motion` on masks of `shape`, (height, width), in their pixels: float32 (2, height, width)."""
    scales = np.divide(shape, flow.shape[1:])
    return np.stack([resize(part * scale, shape) for part, scale in zip(flow, scales, strict=True)])


def moved(mask: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """A bool mask of the previous frame, laid on the current one by their motion, `enlarged`."""
    places = np.indices(mask.shape, np.float32) + flow
    return np.rint(map_coordinates(mask.astype(np.float32), places, order=1, mode="nearest")).astype(bool)


def consistency(previous: np.ndarray, current: np.ndarray, flow: np.ndarray) -> float:
    """IoU of a mask and the previous frame's after their motion; 1 where both are empty. Bool (height, width)."""
    return region_similarity(moved(previous, flow), current)


def flicker(areas: np.ndarray, truth_areas: np.ndarray) -> float:
    """How much the area of a sequence's masks jumps to and fro.

    The mean of |a(t+1) - 2 a(t) + a(t-1)| over the frames that have both neighbours, as a share of the mean
    area of
    the truth: steady growth, as of a vessel that fills, is none. NaN of fewer than three frames, or without
    truth.

    Args:
        areas: of the masks, pixels, one per frame.
        truth_areas: of the same frames.
    """
    mean = truth_areas.mean() if truth_areas.size else 0
    if areas.size < 3 or not mean:
        return np.nan
    return float(np.abs(np.diff(areas.astype(np.float64), 2)).mean() / mean)
