"""Images on their way into a tree: read right, 8-bit, upright, and without a word of metadata.

PNG and JPEG files of 8-bit grey or RGB keep their compressed pixels (see `rewrap`); others become PNG.
What becomes of a pixel: 8-bit grey and RGB stay as they are; black-and-white becomes grey 0/255; palette, CMYK,
YCbCr and LAB become RGB; an alpha channel is dropped where it is opaque everywhere and is an error elsewhere;
16-bit grey is divided by 257 and rounded, which takes 0..65535 to 0..255.
"""

import hashlib
import io
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, ImageOps

from refvessel.dataset.images.perceptual_hash import perceptual_hashes
from refvessel.dataset.images.rewrap import rewrap_jpeg, rewrap_png
from refvessel.errors import UserError
from refvessel.image_files import DEEP_GREY, OPAQUE, decode, is_white_zero, opacity_of

_JPEG = b"\xff\xd8"
_TURNED = range(2, 9)  # EXIF orientations other than upright
_TWELVE_BIT = 1 << 12
_FEW_LEVELS, _MANY_VALUES = 32, 8  # grey levels that show nothing where each stands for so many values
_SMALLEST_SIDE = 2  # pixels; a single row or pixel is what a failed export leaves


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What is to be known of an image in a tree without opening it."""

    width: int
    height: int
    suffix: str  # of its file: `.png` or `.jpg`
    pixels_sha256: str  # of the RGB pixels, uint8, C-ordered (height, width, 3)
    perceptual_hashes: bytes  # see `perceptual_hash`; empty where none are wanted


def clean_image(
    content: bytes,
    stated_size: tuple[int, int] | None,
    what: str,
    *,
    upright: bool = False,
    hashed: bool = True,
) -> tuple[bytes, ImageFacts]:
    """An encoded image as a file of the same pixels, by the rules of this module, and what is to be known of it.

    An EXIF orientation is applied where `stated_size`, (width, height), is the size of the upright image alone, or
    of both where the annotation is known to be of the `upright` one. Raises UserError, opening with `what`, where
    the image does not open or has no such form.
    """
    image = decode(content, what)
    if min(image.size) < _SMALLEST_SIDE:
        raise UserError(
            f"{what} is {image.width} x {image.height} pixels, too small to show a vessel; replace the file."
        )
    turned = image.getexif().get(ExifTags.Base.Orientation) in _TURNED
    rewrapped = None if turned else _rewrapped(content, image)
    if turned:
        image = _turned_upright(image, stated_size, what, known=upright)
    image = _as_8_bit(image, what)
    if stated_size is not None and stated_size != image.size and stated_size == image.size[::-1]:
        raise UserError(
            f"{what} is {image.width} x {image.height} but its annotation states {stated_size[0]} x "
            f"{stated_size[1]}: width and height are swapped; turn the image or correct the size."
        )
    return rewrapped or encode_png(image), ImageFacts(
        width=image.width,
        height=image.height,
        suffix=".jpg" if rewrapped and rewrapped.startswith(_JPEG) else ".png",
        pixels_sha256=hashlib.sha256(_rgb(image).data).hexdigest(),
        perceptual_hashes=perceptual_hashes(image) if hashed else b"",
    )


def _rewrapped(content: bytes, image: Image.Image) -> bytes | None:
    """The file with its compressed pixels as they are; None where they must be encoded anew."""
    if image.mode not in ("L", "RGB") or image.has_transparency_data:
        return None
    return rewrap_jpeg(content) if content.startswith(_JPEG) else rewrap_png(content)


def _rgb(image: Image.Image) -> np.ndarray:
    """The pixels in RGB: uint8, C-ordered (height, width, 3)."""
    pixels = np.asarray(image)
    if pixels.ndim == 3:
        return pixels
    colours = np.empty((*pixels.shape, 3), np.uint8)
    for channel in range(3):  # several times as fast as broadcasting
        colours[..., channel] = pixels
    return colours


def _as_8_bit(image: Image.Image, what: str) -> Image.Image:
    opacity = opacity_of(image)
    if opacity is not None and opacity.min() < OPAQUE:
        raise UserError(f"{what} is partly transparent; flatten it onto the background that you mean.")
    # Of a PGM with more than 8 bits Pillow makes 32-bit numbers from 0 to 65535.
    if image.mode in DEEP_GREY or (image.mode, image.format) == ("I", "PPM"):
        grey = np.asarray(image)
        return _from_16_bit(65535 - grey if is_white_zero(image) else grey, what)
    if image.mode in ("L", "RGB"):
        return image
    if image.mode in ("1", "LA"):
        return image.convert("L")
    if image.mode in ("P", "PA", "RGBA", "CMYK", "YCbCr", "LAB"):
        return image.convert("RGB")
    raise UserError(
        f"{what} has pixels of the kind {image.mode!r}; save it as 8-bit or 16-bit grey or as RGB."
    )


def _from_16_bit(grey: np.ndarray, what: str) -> Image.Image:
    if 0 < grey.max() < _TWELVE_BIT:
        raise UserError(
            f"{what} holds 16-bit grey that reaches only {grey.max()} of 65535 and would turn black; "
            "rescale it to 0..65535 or to 8 bits."
        )
    shown = ((grey.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if (lost := lost_greys(grey, shown)) is not None:
        raise UserError(f"{what} holds 16-bit grey that {lost}; rescale it to 0..65535 or to 8 bits.")
    return Image.fromarray(shown)


def lost_greys(values: np.ndarray, shown: np.ndarray) -> str | None:
    """What is wrong with the grey levels `shown` in the place of `values`, both (height, width); None if nothing.

    Nothing could be seen where many values become few levels: values far from zero or close together, or such
    that a burnt-in text or a single pixel at the end of the range leaves none for the rest.
    """
    of_values, levels = len(np.unique(values)), len(np.unique(shown))
    if levels < _FEW_LEVELS and of_values >= _MANY_VALUES * levels:
        return f"has {of_values} values, of which {levels} grey levels would be left"
    return None


def _turned_upright(
    image: Image.Image, stated_size: tuple[int, int] | None, what: str, *, known: bool
) -> Image.Image:
    upright = ImageOps.exif_transpose(image)
    if stated_size != upright.size:
        raise UserError(
            f"{what} is turned by its EXIF orientation, and the annotation does not state the upright size "
            f"{upright.width} x {upright.height}; save the image upright or state that size."
        )
    if upright.size == image.size and not known:
        raise UserError(
            f"{what} is turned by its EXIF orientation, and its size does not tell whether it was annotated "
            "before or after; save the image upright."
        )
    return upright


def encode_png(image: Image.Image) -> bytes:
    """The image as a PNG without metadata."""
    image.info = {}  # Pillow would write an ICC profile from here
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()
