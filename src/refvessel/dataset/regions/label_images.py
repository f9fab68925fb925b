"""Images whose pixel values are labels, and two-valued masks, read right whatever their mode.

A value is what the file means by it: the index in a palette image of labels, the grey level (0..255, or
0..65535 of 16 bits) elsewhere. For a two-valued mask a palette is looked up, and black-and-white counts 0 and
255. Where a mask is drawn in one colour on transparency, its levels are those of the opacity.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from refvessel import rle
from refvessel.dataset.problems import Problems
from refvessel.dataset.regions.shapes import Drawn, Page, Region, Runs
from refvessel.errors import UserError
from refvessel.image_files import DEEP_GREY, OPAQUE, decode_file, is_white_zero, opacity_of

_AS_IT_IS = ("1", "P", "L", "I", *DEEP_GREY)  # modes whose numbers are the values of labels
_WHITE = 255
_GREY_LEVELS, _OPACITIES = "grey levels beside black", "levels of opacity"
_ONE_NUMBER = np.array([1 << 16, 1 << 8, 1])  # of red, green and blue


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
        return [Region(self.label, (Runs(rle.encode(mask)),), self.where)] if mask.any() else []


@dataclass(frozen=True)
class LabelImage:
    """A mask file whose values name labels. Zero is background unless it has a label."""

    path: Path
    by_value: Mapping[int, str]
    left_out: Set[str]  # labels whose regions are only told
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
        return [self._region(value, values) for value in found if value in self.by_value]

    def _region(self, value: int, values: np.ndarray) -> Region:
        label = self.by_value[value]
        drawn = () if label in self.left_out else (Runs(rle.encode(values == value)),)
        return Region(label, drawn, self.where)


@dataclass(frozen=True)
class OutsideOf:
    """The pixels outside a field of view, which is a two-valued mask file."""

    path: Path
    threshold: float | None

    def draw(self, page: Page) -> Drawn:
        """The mask of the background; UserError where that is all, or not of the image's size."""
        view = read_binary_mask(self.path, self.threshold)
        if not view.any():
            raise UserError(f"{self.path} is a field of view without a pixel; replace it.")
        return Runs(rle.encode(~view)).draw(page)


def read_binary_mask(path: Path, threshold: float | None) -> np.ndarray:
    """The foreground of a mask file, bool of shape (height, width).

    Raises UserError where the file has colours, where it has several levels but no threshold is given, where
    nothing but background would be left of a file that is not black, and where `levels` does.
    """
    found, kind = levels(decode_file(path), str(path), threshold)
    highest = found.max()
    if threshold is None:
        number = len(np.unique(found[found > 0]))
        if number > 1:
            raise UserError(f"{path} has {number} {kind}; give a threshold or labels for its values.")
        return found > 0
    if 0 < highest < threshold:
        raise UserError(f"{path} reaches only {highest}, the threshold is {threshold:g}; correct one.")
    return found >= threshold


def levels(image: Image.Image, what: str, threshold: float | None = None) -> tuple[np.ndarray, str]:
    """What tells foreground from background in a mask image: whole numbers (height, width), and their kind.

    They are grey levels; where the drawing lies on transparency, they are its opacity, 0 to 255. `threshold`
    says from which level on a pixel counts as drawn (None: all that can be seen).

    Raises UserError, opening with `what`, where the image has colours, where its grey and its opacity say
    different things, and where its values cannot be taken as they are.
    """
    _require_plain(image, what)
    opacity = opacity_of(image)
    if opacity is None or opacity.min() == opacity.max() > 0:
        return _grey(image, what), _GREY_LEVELS
    colours = np.asarray(image.convert("RGBA").convert("RGB")) @ _ONE_NUMBER
    drawn = opacity >= (threshold or 1)
    shown, hidden = colours[drawn], colours[~drawn]
    agree = shown.all() and not hidden.any()  # what is transparent is black, and all else is not
    if len(np.unique(shown)) <= 1 and (agree or not _may_be_its_reverse(image, colours, drawn)):
        return opacity, _OPACITIES
    if agree and set(np.unique(opacity)) <= {0, OPAQUE}:
        return _grey(image, what), _GREY_LEVELS
    raise UserError(
        f"{what} is partly transparent, and what is drawn on it is not clear: its colours and its opacity say "
        "different things; save it in grey, without transparency."
    )


def _may_be_its_reverse(image: Image.Image, colours: np.ndarray, drawn: np.ndarray) -> bool:
    """True if the drawing may be not the opaque pixels `drawn`, bool (height, width), but the others.

    So it is where they surround the others, as a sheet does from which a drawing is cut; and where the others are
    transparent only because their colour stands for that, or all are.
    """
    border = np.concatenate([drawn[0], drawn[-1], drawn[:, 0], drawn[:, -1]])
    by_colour = image.mode not in ("LA", "PA", "RGBA") or not drawn.any()
    return border.mean() > 0.5 or (by_colour and len(np.unique(colours)) > 1)


def _grey(image: Image.Image, what: str) -> np.ndarray:
    """The grey levels, (height, width); of a palette with one colour beside black, 0 and 255."""
    if image.mode == "1":
        image = image.convert("L")
    if image.mode == "P":
        return _looked_up(image, what)
    pixels = np.asarray(image if len(image.getbands()) == 1 else image.convert("RGB"))
    if pixels.ndim == 3:
        _require_grey(pixels, what)
        pixels = pixels[..., 0]
    return _whole_numbers(pixels, image, what)


def _looked_up(image: Image.Image, what: str) -> np.ndarray:
    """The grey levels of a palette image, uint8 (height, width); its indices where they all look the same."""
    indices, colours = np.asarray(image), np.asarray(image.convert("RGB"))
    shown = np.unique(colours @ _ONE_NUMBER)
    if len(shown) == 1 < len(np.unique(indices)):
        return indices
    # The palettes of label images begin with black and go on in colours.
    coloured = colours.any(axis=-1)
    if np.count_nonzero(shown) == 1 and np.array_equal(coloured, indices != 0):
        return np.where(coloured, _WHITE, 0).astype(np.uint8)
    _require_grey(colours, what)
    return colours[..., 0]


def _require_grey(colours: np.ndarray, what: str) -> None:
    if (colours != colours[..., :1]).any():
        raise UserError(
            f"{what} is a mask in colours; save it in grey, or with a palette and the option labels."
        )


def _values(path: Path) -> np.ndarray:
    image = decode_file(path)
    _require_plain(image, str(path))
    if image.mode in _AS_IT_IS:
        return _whole_numbers(np.asarray(image), image, str(path))
    opacity = opacity_of(image)
    grey = _grey(image, str(path))
    if opacity is None:
        return grey
    if not set(np.unique(opacity)) <= {0, OPAQUE}:
        raise UserError(f"{path} has half-transparent pixels; save it without transparency.")
    return np.where(opacity > 0, grey, 0)


def _require_plain(image: Image.Image, what: str) -> None:
    """Refuse what would turn or invert a mask without a word."""
    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        raise UserError(f"{what} is a mask turned by its EXIF orientation; save it upright.")
    if is_white_zero(image) and image.mode != "L":
        raise UserError(
            f"{what} is a TIFF whose zeros are white, so that it is not clear what is foreground; save it as PNG "
            "or with black as zero."
        )


def _whole_numbers(pixels: np.ndarray, image: Image.Image, what: str) -> np.ndarray:
    if pixels.dtype.kind == "b":
        return pixels.astype(np.uint8)
    if pixels.dtype.kind not in "ui" or pixels.min() < 0:
        raise UserError(f"{what} has pixels of the kind {image.mode!r}; save it as 8-bit or 16-bit grey.")
    return pixels
