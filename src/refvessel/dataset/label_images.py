"""Images whose pixel values are labels, and two-valued masks, read right whatever their mode.

A value is what the file means by it: the index in a palette image of labels, the grey level (0..255, or
0..65535 of 16 bits) elsewhere. For a two-valued mask a palette is looked up, and black-and-white counts 0 and
255.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from refvessel import masks
from refvessel.dataset.images import open_image_file
from refvessel.dataset.problems import Problems
from refvessel.dataset.shapes import Drawn, Page, Region, Runs
from refvessel.errors import UserError


@dataclass(frozen=True)
class BinaryMask:
    """A mask file with one label: foreground is `threshold` and above, or without one all but zero."""

    path: Path
    label: str
    threshold: float | None
    where: str

    @property
    def labels(self) -> tuple[str, ...]:
        """The one label."""
        return (self.label,)

    def regions(self, problems: Problems) -> list[Region]:  # noqa: ARG002 (the signature of RegionFile)
        """The foreground as one region, or none where there is none; UserError where it is not defined."""
        mask = read_binary_mask(self.path, self.threshold)
        return [Region(self.label, (Runs(masks.encode(mask)),), self.where)] if mask.any() else []


@dataclass(frozen=True)
class LabelImage:
    """A mask file whose values name labels. Zero is background unless it has a label."""

    path: Path
    by_value: Mapping[int, str]
    where: str

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that may occur."""
        return tuple(self.by_value.values())

    def regions(self, problems: Problems) -> list[Region]:  # noqa: ARG002 (the signature of RegionFile)
        """A region for every value that occurs; UserError where one has no label."""
        values = _values(self.path)
        found = [int(value) for value in np.unique(values)]
        unknown = [value for value in found if value and value not in self.by_value]
        if unknown:
            raise UserError(f"{self.path} has the value {unknown[0]}, which labels does not name; add it.")
        return [
            Region(self.by_value[value], (Runs(masks.encode(values == value)),), self.where)
            for value in found
            if value in self.by_value
        ]


@dataclass(frozen=True)
class OutsideOf:
    """The pixels outside a field of view, which is a two-valued mask file."""

    path: Path
    threshold: float | None

    def draw(self, page: Page) -> Drawn:
        """The mask of the background; UserError where it is not of the image's size."""
        return Runs(masks.encode(~read_binary_mask(self.path, self.threshold))).draw(page)


def read_binary_mask(path: Path, threshold: float | None) -> np.ndarray:
    """The foreground of a mask file, bool of shape (height, width).

    Raises UserError where the file has colours, where it has several grey levels but no threshold is given, and
    where nothing but background would be left of a file that is not black.
    """
    grey = _grey(path)
    highest = grey.max()
    if threshold is None:
        levels = np.unique(grey[grey > 0])
        if len(levels) > 1:
            raise UserError(
                f"{path} has {len(levels)} grey levels beside black; give a threshold or labels for its values."
            )
        return grey > 0
    if 0 < highest < threshold:
        raise UserError(f"{path} reaches only {highest}, the threshold is {threshold:g}; correct one.")
    return grey >= threshold


def _grey(path: Path) -> np.ndarray:
    image = open_image_file(path)
    if image.mode in ("1", "P", "LA", "PA", "RGBA"):
        image = image.convert("L" if image.mode in ("1", "LA") else "RGB")
    pixels = np.asarray(image)
    if pixels.ndim == 3:
        if (pixels != pixels[..., :1]).any():
            raise UserError(f"{path} is a mask in colours; save it in grey.")
        pixels = pixels[..., 0]
    return _whole_numbers(pixels, image, path)


def _values(path: Path) -> np.ndarray:
    image = open_image_file(path)
    if image.mode not in ("P", "1", "L", "I;16", "I;16L", "I;16B", "I"):
        return _grey(path)
    return _whole_numbers(np.asarray(image), image, path)


def _whole_numbers(pixels: np.ndarray, image: Image.Image, path: Path) -> np.ndarray:
    if pixels.dtype.kind == "b":
        return pixels.astype(np.uint8)
    if pixels.dtype.kind not in "ui" or pixels.min() < 0:
        raise UserError(f"{path} has pixels of the kind {image.mode!r}; save it as 8-bit or 16-bit grey.")
    return pixels
