"""Near duplicates among images, found by perceptual hashes and told from others by their vessels.

A perceptual hash is the sign of an image's low frequencies (C. Zauner, "Implementation and Benchmarking of
Perceptual Image Hash Functions", 2010): of the first 16 x 16 coefficients of its discrete cosine transform whether
each is above the median. JPEG, noise, scaling, contrast or a window hardly change it.

All fundus photographs of one camera share the dark surround, the field of view's rim and the light's fall-off, and
would have nearly the same hash. So the transform sees what differs: the image less its local mean, over its local
deviation, inside the field of view. An image also has hashes of crops that lack a few per cent of its sides, by
which it is found when it was cropped.

Images whose hashes are near may still be two eyes, so `vessel_correlation` compares their dark lines.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
from PIL import Image
from scipy.fft import dct
from scipy.ndimage import grey_closing

BITS = 256
_SIDE, _KEPT = 32, 16  # pixels per side that are hashed, coefficients per side that are kept
_FINE_SIDE = 128  # pixels per side whose vessels are compared
_SHIFT = 0.05  # of a side, by which one of two images may be moved against the other
_BLOCK = 1024  # images of two groups that are compared at a time
# Shares of the sides that are cut off: left, top, right, bottom.
_CROPS = (
    (0, 0, 0, 0),
    *((share, share, share, share) for share in (0.01, 0.02, 0.03, 0.04)),
    *((0.03, 0, 0, 0), (0, 0.03, 0, 0), (0, 0, 0.03, 0), (0, 0, 0, 0.03)),
)


def _blur(side: int, deviation: float) -> np.ndarray:
    """The matrix whose matmuls with an image, left and (transposed) right, blur it; rows add up to 1."""
    distance = np.subtract.outer(np.arange(side), np.arange(side))
    weights = np.exp(-(distance**2) / (2 * deviation**2))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


# The first rows of the cosine transform's matrix: all that low frequencies need.
_TRANSFORM = dct(np.eye(_SIDE), axis=0, norm="ortho")[:_KEPT].astype(np.float32)
_RIM = {side: _blur(side, 1.5 * side / 64) for side in (_SIDE, _FINE_SIDE)}
_NEIGHBOURHOOD = {side: _blur(side, 4 * side / 64) for side in (_SIDE, _FINE_SIDE)}


def perceptual_hash(image: Image.Image) -> bytes:
    """The image's perceptual hash, BITS / 8 bytes."""
    return perceptual_hashes(image)[: BITS // 8]


def perceptual_hashes(image: Image.Image) -> bytes:
    """The image's perceptual hash and behind it those of its crops, as `near_duplicate_pairs` compares them."""
    grey = _crops(image, _SIDE)
    low = (_TRANSFORM @ _flattened(grey, grey) @ _TRANSFORM.T).reshape(len(grey), BITS)
    middle = BITS // 2
    median = np.sort(low, axis=1)[:, middle - 1 : middle + 1].mean(axis=1, keepdims=True)
    return np.packbits(low > median, axis=1).tobytes()


def near_duplicate_pairs(
    hashes: Sequence[bytes], groups: Sequence[str], threshold: int
) -> tuple[list[tuple[int, int, int]], int | None]:
    """Near duplicates across groups, and the smallest distance between groups.

    Args:
        hashes: of each image, as `perceptual_hashes` returns them: its own, then those of its crops.
        groups: of each image, such as its split.
        threshold: bits in which near duplicates differ at most.

    Returns:
        (first index, second index, distance) per pair of near duplicates, by distance; and the smallest distance
        found, None where there is one group only. The distance of two images is the smallest between the hash of
        one and a hash of the other or of its crops.
    """
    if len(set(groups)) < 2:
        return [], None
    words = np.frombuffer(b"".join(hashes), np.uint64).reshape(len(hashes), -1, BITS // 64)
    names = np.asarray(groups)
    members = [np.flatnonzero(names == group) for group in sorted(set(groups))]
    pairs, nearest = [], None
    for rows, columns in _blocks(members):
        distance = _distances(words[rows], words[columns])
        smallest = int(distance.min())
        nearest = smallest if nearest is None else min(nearest, smallest)
        for row, column in np.argwhere(distance <= threshold):
            first, second = sorted((int(rows[row]), int(columns[column])))
            pairs.append((first, second, int(distance[row, column])))
    return sorted(pairs, key=lambda pair: (pair[2], pair)), nearest


def vessel_correlation(one: Image.Image, other: Image.Image) -> float:
    """The correlation of the dark lines of two images, from -1 to 1, where one is cropped and moved to fit best.

    Images without any structure have the correlation 1: nothing tells them apart.
    """
    of_one, of_other = (_lines(_crops(image, _FINE_SIDE)) for image in (one, other))
    return max(
        *(_best_correlation(of_one[0], lines) for lines in of_other),
        *(_best_correlation(lines, of_other[0]) for lines in of_one[1:]),
    )


def _crops(image: Image.Image, side: int) -> np.ndarray:
    """The grey image and its crops, by _CROPS: float32 of shape (crops, side, side)."""
    large = 4 * side
    small = image.convert("L").resize((large, large), Image.Resampling.BOX)
    boxes = [
        (large * left, large * top, large * (1 - right), large * (1 - bottom))
        for left, top, right, bottom in _CROPS
    ]
    crops = [small.resize((side, side), Image.Resampling.BOX, box=box) for box in boxes]
    return np.stack([np.asarray(each) for each in crops]).astype(np.float32)


def _lines(grey: np.ndarray) -> np.ndarray:
    """Where images are darker than pixels on both sides, such as in a vessel."""
    width = _FINE_SIDE // 12 | 1
    return _flattened(grey_closing(grey, (1, width, width)) - grey, grey)


def _flattened(values: np.ndarray, grey: np.ndarray) -> np.ndarray:
    """Values less their local mean, over their local deviation, inside the field of view of grey images.

    All of shape (images, side, side).
    """
    seen, blur = _field_of_view(grey), _NEIGHBOURHOOD[grey.shape[-1]]
    weight = blur @ seen @ blur.T + 1e-3
    rest = (values - blur @ (values * seen) @ blur.T / weight) * seen
    deviation = np.sqrt(blur @ rest**2 @ blur.T / weight)
    typical = deviation.mean(axis=(1, 2), keepdims=True)
    return rest / (deviation + typical / 4 + 1e-6) * seen


def _field_of_view(grey: np.ndarray) -> np.ndarray:
    """1 well inside the field of view, 0 on its rim and outside: what is nearly as dark as the darkest pixels."""
    levels = np.sort(grey.reshape(len(grey), -1), axis=1)  # several times as fast as percentiles
    pixels = levels.shape[1]
    low, high = (levels[:, pixels * per_cent // 100][:, None, None] for per_cent in (1, 98))
    above = np.clip(((grey - low) / (high - low + 1e-6) - 0.02) / 0.06, 0, 1)
    bright = above**2 * (3 - 2 * above)
    rim = _RIM[grey.shape[-1]]
    return np.clip((rim @ bright @ rim.T - 0.8) / 0.2, 0, 1)


def _best_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """The largest correlation of two images over the shifts of one against the other."""
    energy = np.sqrt((one**2).sum() * (other**2).sum())
    if energy == 0:
        return float(not one.any() and not other.any())
    product = np.fft.irfft2(np.fft.rfft2(one) * np.conj(np.fft.rfft2(other)), one.shape)
    reach = int(_SHIFT * len(one))
    near = np.arange(-reach, reach + 1)
    return float(product[np.ix_(near, near)].max() / energy)


def _blocks(members: Sequence[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Indices to compare, a part of a group with a part of another one: memory stays the same for more images."""
    for one, other in combinations(members, 2):
        for first in range(0, len(one), _BLOCK):
            for second in range(0, len(other), _BLOCK):
                yield one[first : first + _BLOCK], other[second : second + _BLOCK]


def _distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Smallest distances of each to each, uint16 of shape (one, other); both (images, hashes, words)."""
    distance = _differing_bits(one[:, 0], other[:, 0])
    for crop in range(1, one.shape[1]):
        np.minimum(distance, _differing_bits(one[:, 0], other[:, crop]), out=distance)
        np.minimum(distance, _differing_bits(one[:, crop], other[:, 0]), out=distance)
    return distance


def _differing_bits(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Bits in which each of the hashes differs from each other, uint16 of shape (one, other)."""
    distance = np.zeros((len(one), len(other)), np.uint16)
    for word in range(BITS // 64):
        distance += np.bitwise_count(one[:, None, word] ^ other[None, :, word])
    return distance
