"""The demo's classical baseline: a ridge filter of scikit-image, chosen and cut off on one split for another.

It knows tubes that are darker than what surrounds them, and nothing else: a catheter is a vessel to it, and it has
no masks of a catheter as such.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.filters import frangi, meijering, sato

from refvessel import rle
from refvessel.dataset.tree.expressions import Sentence, read_expressions, read_sentences
from refvessel.files import atomic_directory
from refvessel.image_files import decode_file

PHRASE = "blood vessel"  # the only one that it answers
_FILTERS: dict[str, Callable[..., np.ndarray]] = {"frangi": frangi, "meijering": meijering, "sato": sato}
_REDUCED = 2  # times smaller than an image is what the filters see: a quarter of the time
_SCALES = ((1, 2), (1, 2, 3))  # standard deviations of the Gaussians, pixels of that
_SHARES = np.linspace(0.80, 0.995, 40)  # of all pixels that a threshold leaves out


@dataclass(frozen=True)
class Ridges:
    """A filter, its scales in pixels of the reduced image, and what the response of a vessel exceeds."""

    name: str
    scales: tuple[int, ...]
    threshold: float

    def mask(self, image: np.ndarray) -> np.ndarray:
        """The vessels of a grey image, bool of its shape (height, width)."""
        return np.asarray(_response(self.name, self.scales, image) > self.threshold)


def write_vesselness_masks(*, dataset: Path, tuned_on: str, split: str, output: Path) -> Ridges:
    """Write IMAGE.png (0 or 255) for each image of a split, all or nothing; return what was chosen.

    Args:
        dataset: official tree.
        tuned_on: split whose truths are looked at, to choose among filters, scales and thresholds by mean Dice.
        split: that is segmented; of its truths none is read.
        output: folder to write; replaced if it exists.
    """
    known = [each for each in read_expressions(dataset, tuned_on) if each.phrase == PHRASE]
    truths = [rle.decode(each.truth).astype(bool) for each in known]
    chosen = tuned([_grey(each) for each in known], truths)
    with atomic_directory(output) as folder:
        for sentence in read_sentences(dataset, split):
            if sentence.phrase == PHRASE:
                mask = chosen.mask(_grey(sentence))
                Image.fromarray(mask.astype(np.uint8) * 255).save(folder / f"{sentence.image_id}.png")
    return chosen


def tuned(images: Sequence[np.ndarray], truths: Sequence[np.ndarray]) -> Ridges:
    """The filter, scales and threshold with the highest mean Dice over images.

    Args:
        images: grey, each (height, width).
        truths: bool, each of its image's shape; the Dice of two empty masks is 1.
    """
    return max(_candidates(images, truths), key=lambda scored: scored[0])[1]


def _candidates(images: Sequence[np.ndarray], truths: Sequence[np.ndarray]) -> Iterator[tuple[float, Ridges]]:
    """Each filter and its scales with their best threshold, behind the mean Dice that they reach."""
    for name, scales in product(_FILTERS, _SCALES):
        responses = [_response(name, scales, image) for image in images]
        thresholds = np.quantile(np.concatenate(responses, axis=None), _SHARES)
        reached = np.mean([_dice(*pair, thresholds) for pair in zip(responses, truths, strict=True)], axis=0)
        best = int(reached.argmax())
        yield float(reached[best]), Ridges(name, scales, float(thresholds[best]))


def _dice(response: np.ndarray, truth: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """The Dice of an image at each threshold, float64 (thresholds,)."""
    every, inside = np.sort(response, axis=None), np.sort(response[truth])
    predicted = every.size - np.searchsorted(every, thresholds, side="right")
    common = inside.size - np.searchsorted(inside, thresholds, side="right")
    total = predicted + inside.size
    return np.divide(2 * common, total, out=np.ones(len(thresholds)), where=total > 0)


def _response(name: str, scales: tuple[int, ...], image: np.ndarray) -> np.ndarray:
    """How much each pixel is like a dark ridge, float32 (height, width)."""
    height, width = image.shape
    reduced = _resized(image, (width // _REDUCED, height // _REDUCED), Image.Resampling.BOX)
    found = _FILTERS[name](reduced, sigmas=scales, black_ridges=True)
    return _resized(found, (width, height), Image.Resampling.BILINEAR)


def _resized(values: np.ndarray, size: tuple[int, int], resampling: Image.Resampling) -> np.ndarray:
    """Values (height, width) as float32 at another size, (width, height)."""
    return np.asarray(Image.fromarray(values.astype(np.float32)).resize(size, resampling))


def _grey(sentence: Sentence) -> np.ndarray:
    """The image that a sentence is about, float32 from 0 to 1, (height, width)."""
    return np.asarray(decode_file(sentence.image_path).convert("L"), np.float32) / 255
