"""How alike two images are, by perceptual hashes: 256 bits that JPEG, noise, scaling or contrast hardly change.

The hash is the sign of the image's low frequencies (C. Zauner, "Implementation and Benchmarking of Perceptual
Image Hash Functions", 2010): its grey levels on 64 x 64 pixels, their discrete cosine transform, and of its
first 16 x 16 coefficients whether each is above the median.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
from PIL import Image
from scipy.fft import dct

BITS = 256
_SIDE, _KEPT = 64, 16
# The first rows of the cosine transform's matrix: all that low frequencies need.
_TRANSFORM = dct(np.eye(_SIDE), axis=0, norm="ortho")[:_KEPT]
_BLOCK = 1024  # images of two groups that are compared at a time


def perceptual_hash(image: Image.Image) -> bytes:
    """The image's hash, BITS / 8 bytes."""
    grey = image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    low = _TRANSFORM @ np.asarray(grey, float) @ _TRANSFORM.T
    middle = BITS // 2
    median = np.sort(low, axis=None)[middle - 1 : middle + 1].mean()
    return np.packbits(low > median).tobytes()


def near_pairs(
    hashes: Sequence[bytes], groups: Sequence[str], threshold: int
) -> tuple[list[tuple[int, int, int]], int | None]:
    """Pairs of images of different groups that are alike, and the smallest distance between groups.

    Returns (first index, second index, distance) for pairs whose hashes differ in at most `threshold` bits, in the
    order of the distance, and the smallest distance found, None where there is one group only.
    """
    words = np.frombuffer(b"".join(hashes), np.uint64).reshape(len(hashes), BITS // 64)
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


def _blocks(members: Sequence[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Indices to compare, a part of a group with a part of another one: memory stays the same for more images."""
    for one, other in combinations(members, 2):
        for first in range(0, len(one), _BLOCK):
            for second in range(0, len(other), _BLOCK):
                yield one[first : first + _BLOCK], other[second : second + _BLOCK]


def _distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Bits in which each of the hashes differs from each other, uint16 of shape (one, other)."""
    distance = np.zeros((len(one), len(other)), np.uint16)
    for word in range(BITS // 64):
        distance += np.bitwise_count(one[:, None, word] ^ other[None, :, word])
    return distance
