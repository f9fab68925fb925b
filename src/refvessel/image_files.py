"""Image files, opened here and nowhere else: in the formats that data come in, whatever their names say.

Pillow alone would go by the content, and knows formats that it hands to other programs (EPS to Ghostscript).
"""

import io
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from refvessel.errors import UserError
from refvessel.files import read_bytes, require_no_pointer, require_plain_file

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # as Pillow names them; PPM is PGM and PBM too
NAMES = ", ".join(FORMATS)
DEEP_GREY = ("I;16", "I;16L", "I;16B")  # Pillow's modes of 16-bit grey
OPAQUE = 255
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262  # tags of TIFF
_DEEP = 8  # bits of a channel beyond which Pillow keeps the upper ones only, of images in colours


def identify(stream: BinaryIO) -> Image.Image:
    """An image whose header alone is read; raises UnidentifiedImageError unless it is of a format of FORMATS."""
    return Image.open(stream, formats=FORMATS)


def decode(content: bytes, what: str) -> Image.Image:
    """Decode an image file, to the last pixel.

    Args:
        content: the file.
        what: the file's name and, if it is a part of one, the field; opens every message.

    Raises:
        UserError: where it is of no format of FORMATS, a pointer to the file, damaged or one of several images in
            its file, or where it has colours of more than 8 bits, which would be cut.
    """
    require_no_pointer(content, what)
    try:
        image = identify(io.BytesIO(content))
        deep = _has_deep_colours(image)
        image.load()
        image.getexif()
        # A camera's MPO is a photograph with its smaller copies behind it.
        images = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    except UnidentifiedImageError:
        raise UserError(
            f"{what} does not open as an image (no known format); replace it by one of: {NAMES}."
        ) from None
    # Damaged files make Pillow's decoders raise nearly anything; none of it is a bug of ours.
    except Exception as error:
        raise UserError(f"{what} does not open as an image ({error}); replace the file.") from None
    if images > 1:
        raise UserError(f"{what} holds {images} images; save the one that was annotated on its own.")
    if deep:
        raise UserError(
            f"{what} has several channels of more than 8 bits, which would be cut; save it as 8-bit RGB or as "
            "16-bit grey."
        )
    return image


def decode_file(path: Path) -> Image.Image:
    """The same of a file; raises UserError where it cannot be read, too."""
    return decode(read_bytes(path), str(path))


def size_of_file(path: Path) -> tuple[int, int]:
    """(width, height) of the image in a file, from its header; raises UserError where it does not open."""
    try:
        require_plain_file(path)
        with path.open("rb") as stream:
            return identify(stream).size
    except Exception:
        return decode_file(path).size  # which says what is wrong


def opacity_of(image: Image.Image) -> np.ndarray | None:
    """How opaque each pixel is, uint8 (height, width), 0 to OPAQUE; None for an image without transparency.

    It may be a channel, or a colour or colours of a palette that stand for it.
    """
    if not image.has_transparency_data:
        return None
    if image.mode in DEEP_GREY:
        clear = np.asarray(image) == image.info["transparency"]
        return np.where(clear, 0, OPAQUE).astype(np.uint8)
    return np.asarray(image.convert("RGBA").getchannel("A"))


def is_white_zero(image: Image.Image) -> bool:
    """Whether a TIFF says that its zeros are white; Pillow inverts such images of 1 and 8 bits, not of 16."""
    return isinstance(image, TiffImageFile) and image.tag_v2.get(_PHOTOMETRIC) == 0


def _has_deep_colours(image: Image.Image) -> bool:
    """Whether a channel of several has more than 8 bits; `image` is not decoded yet."""
    if len(image.getbands()) == 1:
        return False
    if isinstance(image, TiffImageFile):
        return max(image.tag_v2.get(_BITS_PER_SAMPLE, (1,))) > _DEEP
    tiles = image.tile if isinstance(image, ImageFile) else []
    coding = tiles[0].args if tiles else None  # PNG: "RGB;16B", PPM: ("RGB", highest value)
    if isinstance(coding, tuple):
        return image.format == "PPM" and isinstance(coding[-1], int) and coding[-1] > 255
    return isinstance(coding, str) and ";16" in coding
