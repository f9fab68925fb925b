"""How near different images come in the near-duplicate gate, and how far copies go: what its limits rest on.

    python benchmarks/near_duplicates.py --angiograms DIR [--fundus DIR]

Sets: real angiograms (DIR, e.g. ARCADE's frames); invented fundus photographs of one camera (see `fundus`), of
both sides and, as alike as they get, of one side with faint vessels; with `--fundus` real ones too. For each, the
smallest distance of two of its images and the highest correlation of the vessels of the nearest pairs, beside the
hash that the gate had before (of the whole image, its surround included); then, for each way to make a copy, the
largest distance and the smallest correlation of a copy and its original. Status 1 where a set has no gap.
"""

import argparse
import io
import sys
from collections.abc import Callable
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
from fundus import fundus
from PIL import Image, ImageEnhance, ImageOps
from scipy.fft import dct

from refvessel.dataset.conversion.gates import SAME_VESSELS
from refvessel.dataset.images.perceptual_hash import (
    BITS,
    near_duplicate_pairs,
    perceptual_hashes,
    vessel_correlation,
)
from refvessel.settings.dataset_section import Dataset

NEAR_DUPLICATES = Dataset.model_fields["near_duplicates"].default

_NEAREST = 40  # pairs whose vessels are compared
_EVERY = 5  # image is copied


def main() -> None:
    """Measure and print; status 1 where a copy would pass or two images would be taken for one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--angiograms", type=Path, required=True)
    parser.add_argument("--fundus", type=Path)
    arguments = parser.parse_args()
    sets = {"angiograms": read(arguments.angiograms)}
    if arguments.fundus:
        sets["fundus photographs"] = read(arguments.fundus)
    sets["invented fundus"] = [fundus(seed) for seed in range(40)]
    sets["invented fundus, most alike"] = [
        fundus(100 + seed, contrast=0.1, mottling=0.3, side=1) for seed in range(40)
    ]
    print("| set | pairs | nearest, old hash | 40 bits or less | nearest | vessels of the nearest |")
    print("|---|---|---|---|---|---|")
    failed = False
    for name, images in sets.items():
        row, fine = of_different(images)
        failed |= not fine
        print(f"| {name}, {len(images)} | {row} |", flush=True)
    print(f"\n| copy | {' | '.join(sets)} |\n|---|{'---|' * len(sets)}")
    for copy, make in COPIES.items():
        cells = [of_copies(images[::_EVERY], make) for images in sets.values()]
        failed |= any(bits > NEAR_DUPLICATES or correlation < SAME_VESSELS for bits, correlation in cells)
        print(
            f"| {copy} | {' | '.join(f'{bits}, {correlation:.2f}' for bits, correlation in cells)} |",
            flush=True,
        )
    sys.exit(failed)


def read(folder: Path) -> list[Image.Image]:
    """The images of a folder."""
    paths = sorted(
        path for path in folder.iterdir() if path.suffix.lower() in {".png", ".jpg", ".tif", ".ppm"}
    )
    return [Image.open(path).convert("RGB") for path in paths]


def of_different(images: list[Image.Image]) -> tuple[str, bool]:
    """The cells of a set, and whether no two of its images count as one."""
    hashes = [perceptual_hashes(image) for image in images]
    pairs, nearest = near_duplicate_pairs(hashes, [str(number) for number in range(len(images))], BITS)
    vessels = [vessel_correlation(images[one], images[other]) for one, other, _ in pairs[:_NEAREST]]
    before = [np.count_nonzero(one != other) for one, other in combinations(map(old_hash, images), 2)]
    row = f"{len(pairs)} | {min(before)} | {sum(bits <= 40 for bits in before)} | {nearest} | {max(vessels):.2f}"
    return row, max(vessels) < SAME_VESSELS


def of_copies(images: list[Image.Image], make: Callable[[Image.Image], Image.Image]) -> tuple[int, float]:
    """The largest distance and the smallest correlation of images and their copies."""
    copies = [make(image) for image in images]
    found = [
        near_duplicate_pairs([perceptual_hashes(one), perceptual_hashes(other)], ["image", "copy"], 0)[1]
        for one, other in zip(images, copies, strict=True)
    ]
    return max(found), min(map(vessel_correlation, images, copies))


def old_hash(image: Image.Image) -> np.ndarray:
    """The hash of the whole image that the gate had until 2026-11-30, bool of shape (256,)."""
    grey = np.asarray(image.convert("L").resize((64, 64), Image.Resampling.BOX), float)
    transform = dct(np.eye(64), axis=0, norm="ortho")[:16]
    low = transform @ grey @ transform.T
    return (low > np.median(low)).ravel()


def as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    """Saved as JPEG and read again."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(stream)


def noisy(image: Image.Image) -> Image.Image:
    """With noise of 8 grey levels."""
    pixels = np.asarray(image) + np.random.default_rng(0).normal(0, 8, np.shape(image))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def cut(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    """Without these shares of its sides."""
    width, height = image.size
    return image.crop(
        (int(left * width), int(top * height), int((1 - right) * width), int((1 - bottom) * height))
    )


def windowed(image: Image.Image, low: int, high: int) -> Image.Image:
    """With the grey levels from `low` to `high` stretched to the whole range."""
    return image.point([min(255, max(0, 255 * (level - low) // (high - low))) for level in range(256)] * 3)


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG, quality 60": partial(as_jpeg, quality=60),
    "JPEG, quality 20": partial(as_jpeg, quality=20),
    "noise": noisy,
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "224 x 224": lambda image: image.resize((224, 224)),
    "grey": lambda image: image.convert("L"),
    "contrast 1.3": lambda image: ImageEnhance.Contrast(image).enhance(1.3),
    "contrast 0.6": lambda image: ImageEnhance.Contrast(image).enhance(0.6),
    "brightness 1.2": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "brightness 0.7": lambda image: ImageEnhance.Brightness(image).enhance(0.7),
    "gamma 1.5": lambda image: image.point([int(255 * (level / 255) ** 1.5) for level in range(256)] * 3),
    "window 30 to 200": partial(windowed, low=30, high=200),
    "cut by 1%": partial(cut, left=0.01, top=0.01, right=0.01, bottom=0.01),
    "cut by 2%": partial(cut, left=0.02, top=0.02, right=0.02, bottom=0.02),
    "cut by 4%": partial(cut, left=0.04, top=0.04, right=0.04, bottom=0.04),
    "cut on the left by 3%": partial(cut, left=0.03, top=0, right=0, bottom=0),
    "cut by 3, 1, 1.5, 2%": partial(cut, left=0.03, top=0.01, right=0.015, bottom=0.02),
    "a border of 20 pixels": lambda image: ImageOps.expand(image, 20),
    "turned by 1 degree": lambda image: image.rotate(1, Image.Resampling.BILINEAR),
    "moved by 3 pixels": lambda image: Image.fromarray(np.roll(np.asarray(image), (3, 3), (0, 1))),
}


if __name__ == "__main__":
    main()
