"""How alike two images are, by perceptual hashes: 256 bits that JPEG, noise, scaling or contrast hardly change.

The hash is the sign of the image's low frequencies (C. Zauner, "Implementation and Benchmarking of Perceptual
Image Hash Functions", 2010): its grey levels on 64 x 64 pixels, their discrete cosine transform, and of its
first 16 x 16 coefficients whether each is above the median.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy.fft import dctn

BITS = 256
_SIDE, _KEPT = 64, 16
_BLOCK = 1024  # images compared at a time with all others


def perceptual_hash(image: Image.Image) -> bytes:
    """The image's hash, BITS / 8 bytes."""
    grey = image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    low = dctn(np.asarray(grey, float), norm="ortho")[:_KEPT, :_KEPT]
    return np.packbits(low > np.median(low)).tobytes()


def near_pairs(
    hashes: Sequence[bytes], groups: Sequence[str], threshold: int
) -> tuple[list[tuple[int, int, int]], int | None]:
    """Pairs of images of different groups that are alike, and the smallest distance between groups.

    Returns (first index, second index, distance) for pairs whose hashes differ in at most `threshold` bits, in the
    order of the distance, and the smallest distance found, None where there is one group only.
    """
    words = np.frombuffer(b"".join(hashes), np.uint64).reshape(len(hashes), BITS // 64)
    _, group = np.unique(groups, return_inverse=True)
    pairs, nearest = [], None
    for start in range(0, len(words), _BLOCK):
        block, rest = words[start : start + _BLOCK], words[start:]
        distance = np.bitwise_count(block[:, None] ^ rest[None]).sum(axis=2, dtype=np.int16)
        distance[group[start : start + _BLOCK, None] == group[None, start:]] = BITS + 1
        if (smallest := int(distance.min())) <= BITS:
            nearest = smallest if nearest is None else min(nearest, smallest)
        rows, columns = np.nonzero(np.triu(distance <= threshold))
        pairs += [
            (start + int(row), start + int(column), int(distance[row, column]))
            for row, column in zip(rows, columns, strict=True)
        ]
    return sorted(pairs, key=lambda pair: pair[2]), nearest
