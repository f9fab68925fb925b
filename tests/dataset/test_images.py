import hashlib
import io
import re
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from refvessel.dataset.images.pixels import clean_image
from refvessel.errors import UserError

RNG = np.random.default_rng(1)
GREY = RNG.integers(0, 256, (30, 40), np.uint8)
COLOUR = RNG.integers(0, 256, (30, 40, 3), np.uint8)
SECRET = "ZHANG WEI 00123"
# What Pillow reads from the two segments that say how the colours are coded.
NEEDED_BY_JPEG = {
    "jfif": 257,
    "jfif_version": (1, 1),
    "jfif_unit": 0,
    "jfif_density": (1, 1),
    "adobe": 100,
    "adobe_transform": 0,
    "progressive": 1,  # that the scans refine one another
    "progression": 1,
}


def encoded(image: Image.Image, form: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def cleaned(content: bytes, stated_size=None) -> np.ndarray:
    """The published pixels, read back, after checking the size and the hash that go with them."""
    clean, facts = clean_image(content, stated_size, "a.png")
    image = Image.open(io.BytesIO(clean))
    image.load()
    assert (image.format, facts.suffix) in [("PNG", ".png"), ("JPEG", ".jpg")]
    assert image.info.items() <= NEEDED_BY_JPEG.items()
    assert (facts.width, facts.height) == image.size
    assert facts.pixels_sha256 == hashlib.sha256(np.asarray(image.convert("RGB")).tobytes()).hexdigest()
    return np.asarray(image)


@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "rgb"])
@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF"])
def test_8_bit_pixels_stay_as_they_are(pixels, form):
    assert np.array_equal(cleaned(encoded(Image.fromarray(pixels), form)), pixels)


def jpeg(pixels=COLOUR, **options) -> bytes:
    """With everything in it that can name somebody."""
    exif = Image.Exif()
    exif[0x013B] = SECRET
    content = encoded(
        Image.fromarray(pixels),
        "JPEG",
        **{"comment": SECRET.encode(), "exif": exif, "dpi": (72, 72), "icc_profile": SECRET.encode()}
        | options,
    )
    thumbnail = b"JFXX\0\x13\x02\x02" + bytes(12) + SECRET.encode()
    parts = [b"\xff\xe0", struct.pack(">H", len(thumbnail) + 2), thumbnail]
    first = 4 + struct.unpack(">H", content[4:6])[0]  # behind JFIF's own segment
    return content[:first] + b"".join(parts) + content[first:] + SECRET.encode()


JPEGS = {
    "rgb": jpeg(),
    "grey": jpeg(GREY),
    "progressive": jpeg(progressive=True),
    "with restarts": jpeg(restart_marker_blocks=1),
    "full chroma": jpeg(subsampling=0, quality=100),
    "stored as rgb": jpeg(keep_rgb=True),
}


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_keeps_its_compressed_pixels_and_loses_all_else(kind):
    content = JPEGS[kind]
    assert SECRET.encode() in content
    assert np.array_equal(cleaned(content), np.asarray(Image.open(io.BytesIO(content))))
    clean, facts = clean_image(content, None, "a.jpg")
    assert facts.suffix == ".jpg"
    assert SECRET.encode() not in clean
    segments = set(re.findall(rb"\xff[\xe0-\xef\xfe]", clean))
    assert segments <= {b"\xff\xe0", b"\xff\xee"}  # JFIF and Adobe: how the colours are coded
    assert clean.endswith(b"\xff\xd9")
    assert clean_image(clean, None, "a.jpg") == (clean, facts)


def test_a_turned_jpeg_and_one_in_cmyk_become_png():
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    _, facts = clean_image(encoded(Image.fromarray(COLOUR), "JPEG", exif=exif), (30, 40), "a.jpg")
    assert facts.suffix == ".png"
    content = encoded(Image.fromarray(COLOUR).convert("CMYK"), "JPEG")
    _, facts = clean_image(content, None, "a.jpg")
    assert facts.suffix == ".png"
    assert np.array_equal(cleaned(content), np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))


@pytest.mark.parametrize("form", ["TIFF", "GIF", "PNG"])
def test_a_file_of_several_images_is_refused(form):
    pages = [Image.fromarray(GREY), Image.fromarray(GREY[::-1])]
    content = encoded(pages[0], form, save_all=True, append_images=pages[1:])
    with pytest.raises(UserError, match=r"^a\.tif holds 2 images; save the one that was annotated"):
        clean_image(content, None, "a.tif")


@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "rgb"])
def test_no_metadata_of_a_png_survives(pixels):
    text = PngImagePlugin.PngInfo()
    text.add_text("PatientName", SECRET)
    text.add_itxt("Comment", SECRET, zip=True)
    exif = Image.Exif()
    exif[0x013B] = SECRET
    content = encoded(Image.fromarray(pixels), pnginfo=text, exif=exif, dpi=(72, 72)) + SECRET.encode()
    assert np.array_equal(cleaned(content), pixels)
    clean, _ = clean_image(content, None, "a.png")
    assert b"tEXt" not in clean
    assert b"iTXt" not in clean
    assert b"eXIf" not in clean
    assert SECRET.encode() not in clean


def test_a_palette_becomes_rgb():
    image = Image.fromarray(COLOUR).quantize(16)
    assert np.array_equal(cleaned(encoded(image)), np.asarray(image.convert("RGB")))


def test_black_and_white_becomes_0_and_255():
    assert np.array_equal(cleaned(encoded(Image.fromarray(GREY > 99))), np.where(GREY > 99, 255, 0))


def test_an_opaque_alpha_channel_is_dropped():
    opaque = np.dstack([COLOUR, np.full(GREY.shape, 255, np.uint8)])
    assert np.array_equal(cleaned(encoded(Image.fromarray(opaque))), COLOUR)


def test_a_transparent_image_is_refused():
    with pytest.raises(UserError, match=r"a\.png is partly transparent"):
        clean_image(encoded(Image.fromarray(np.dstack([COLOUR, GREY]))), None, "a.png")


def test_16_bit_grey_is_divided_by_257():
    deep = RNG.integers(0, 65536, (30, 40), np.uint16)
    deep[0, :2] = 0, 65535
    assert np.array_equal(cleaned(encoded(Image.fromarray(deep))), np.rint(deep / 257))


def test_12_bits_in_16_would_turn_black_and_are_refused():
    with pytest.raises(UserError, match="reaches only 4095 of 65535"):
        clean_image(encoded(Image.fromarray(np.full((4, 4), 4095, np.uint16))), None, "a.png")


BRIGHTEST = np.arange(GREY.size).reshape(GREY.shape) == 0


@pytest.mark.parametrize(
    "deep",
    [GREY.astype(np.uint16) + 32_000, np.where(BRIGHTEST, 65535, GREY.astype(np.uint16) * 4)],
    ids=["signed values moved up", "one bright pixel"],
)
def test_16_bits_of_which_few_greys_would_be_left_are_refused(deep):
    with pytest.raises(
        UserError, match=r"a\.png holds 16-bit grey that has \d+ values, of which . grey levels"
    ):
        clean_image(encoded(Image.fromarray(deep.astype(np.uint16))), None, "a.png")


def test_pixels_of_other_kinds_are_refused():
    with pytest.raises(UserError, match="kind 'F'"):
        clean_image(encoded(Image.fromarray(GREY.astype(np.float32)), "TIFF"), None, "a.tif")


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_an_exif_orientation_is_applied_where_the_stated_size_is_upright(form):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    content = encoded(Image.fromarray(COLOUR), form, exif=exif)
    stored = np.asarray(Image.open(io.BytesIO(content)))
    assert np.array_equal(cleaned(content, (30, 40)), np.rot90(stored, -1))


@pytest.mark.parametrize("stated", [None, (40, 30)])
def test_an_exif_orientation_that_the_stated_size_does_not_confirm_is_refused(stated):
    exif = Image.Exif()
    exif[0x0112] = 6
    with pytest.raises(UserError, match="upright size 30 x 40"):
        clean_image(encoded(Image.fromarray(COLOUR), exif=exif), stated, "a.png")


@pytest.mark.parametrize(
    ("orientation", "size"), [(2, (40, 30)), (3, (40, 30)), (4, (40, 30)), (6, (30, 30))]
)
def test_an_exif_orientation_that_the_size_does_not_show_is_refused_unless_known(orientation, size):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(Image.fromarray(COLOUR).crop((0, 0, *size)), exif=exif)
    with pytest.raises(UserError, match="does not tell whether it was annotated before or after"):
        clean_image(content, size, "a.png")
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))
    clean, _ = clean_image(content, size, "a.png", upright=True)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(clean))), expected)


def white_zero(grey: np.ndarray) -> bytes:
    """A TIFF of 16-bit grey whose zeros are white."""
    return encoded(Image.fromarray(grey), "TIFF", tiffinfo={262: 0})


def test_16_bit_grey_whose_zeros_are_white_is_inverted():
    deep = np.linspace(0, 65535, 1200).reshape(30, 40).astype(np.uint16)
    assert np.array_equal(cleaned(white_zero(65535 - deep)), np.rint(deep / 257))


def test_grey_with_an_opaque_channel_stays_grey():
    assert np.array_equal(cleaned(encoded(Image.fromarray(np.dstack([GREY, np.full_like(GREY, 255)])))), GREY)


def test_16_bits_with_a_transparent_level_are_refused():
    deep = np.full((4, 4), 60000, np.uint16)
    deep[0, 0] = 9
    with pytest.raises(UserError, match="partly transparent"):
        clean_image(encoded(Image.fromarray(deep), transparency=9), None, "a.png")


def test_a_pgm_of_12_bits_is_scaled_by_its_highest_value():
    values = np.linspace(0, 4095, 1200).reshape(30, 40).astype(">u2")
    content = b"P5 40 30 4095\n" + values.tobytes()
    assert np.array_equal(cleaned(content), np.rint(np.rint(values / 4095 * 65535) / 257))


def test_a_stated_size_with_swapped_sides_is_refused():
    with pytest.raises(UserError, match="swapped"):
        clean_image(encoded(Image.fromarray(GREY)), (30, 40), "a.png")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF"])
@pytest.mark.parametrize("share", [0, 0.1, 0.7])
def test_a_truncated_image_does_not_open(form, share):
    content = encoded(Image.fromarray(COLOUR), form)
    with pytest.raises(UserError, match=r"^a\.png does not open as an image"):
        clean_image(content[: int(share * len(content))], None, "a.png")


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1)])
def test_a_side_of_one_pixel_is_too_small(shape):
    height, width = shape
    with pytest.raises(UserError, match=rf"^a\.png is {width} x {height} pixels, too small .*; replace"):
        clean_image(encoded(Image.fromarray(GREY[:height, :width])), None, "a.png")


def test_two_by_two_pixels_are_an_image():
    assert cleaned(encoded(Image.fromarray(GREY[:2, :2]))).shape == (2, 2)


def test_what_is_no_image_is_told_without_our_internals():
    with pytest.raises(UserError, match=r"^a\.png does not open as an image \(no known format\); replace"):
        clean_image(b"plain text", None, "a.png")
