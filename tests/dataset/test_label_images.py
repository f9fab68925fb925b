"""What is foreground in mask files, whatever their mode: compared with the drawing that they were made from."""

import struct

import numpy as np
import pytest
from PIL import Image

from refvessel.dataset.problems import Problems
from refvessel.dataset.regions.label_images import LabelImage, OutsideOf, read_binary_mask
from refvessel.dataset.regions.shapes import Page
from refvessel.errors import UserError
from refvessel.rle import decode

DRAWN = np.zeros((30, 40), bool)
DRAWN[5:20, 5:20] = True
DRAWN[9:15, 9:15] = False
DRAWN[25, 2:38] = True
BOARD = np.where(DRAWN, 255, 0).astype(np.uint8)  # white on black
SOFT = np.where(DRAWN, 90, 0).astype(np.uint8)
SOFT[5:20, 5] = 200
WHITE, BLACK = np.full_like(BOARD, 255), np.zeros_like(BOARD)


def rgba(red, green, blue, alpha) -> Image.Image:
    return Image.fromarray(np.dstack([red, green, blue, alpha]))


def palette(indices: np.ndarray, colours: list[int]) -> Image.Image:
    image = Image.fromarray(indices.astype(np.uint8), "P")
    image.putpalette(colours)
    return image


def saved(tmp_path, image: Image.Image, name: str = "m.png", **options):
    path = tmp_path / name
    image.save(path, **options)
    return path


# Kind -> an image and how it is saved. All of them show DRAWN.
CLEAR = {
    "white pen": (rgba(WHITE, WHITE, WHITE, BOARD), {}),
    "white pen on transparent black": (rgba(BOARD, BOARD, BOARD, BOARD), {}),
    "black pen": (rgba(BLACK, BLACK, BLACK, BOARD), {}),
    "black pen on transparent white": (rgba(WHITE - BOARD, WHITE - BOARD, WHITE - BOARD, BOARD), {}),
    "red pen": (rgba(BOARD, BLACK, BLACK, BOARD), {}),
    "a see-through pen": (rgba(WHITE, BLACK, BLACK, BOARD // 2), {}),
    "grey and alpha": (Image.fromarray(np.dstack([WHITE, BOARD])), {}),
    "black in grey and alpha": (Image.fromarray(np.dstack([BLACK, BOARD])), {}),
    "opaque rgba": (rgba(BOARD, BOARD, BOARD, WHITE), {}),
    "opaque grey": (Image.fromarray(np.dstack([BOARD, WHITE])), {}),
    "evenly transparent": (rgba(BOARD, BOARD, BOARD, WHITE // 2), {}),
    "palette, all white": (palette(DRAWN, [255] * 6), {"transparency": 0}),
    "palette, all black": (palette(DRAWN, [0] * 6), {"transparency": 0}),
    "palette of opacities": (palette(DRAWN, [255] * 6), {"transparency": bytes([0, 255])}),
    "grey, black is transparent": (Image.fromarray(BOARD), {"transparency": 0}),
    "rgb, black is transparent": (Image.fromarray(np.dstack([BOARD] * 3)), {"transparency": (0, 0, 0)}),
    "grey, another level is transparent": (Image.fromarray(BOARD), {"transparency": 7}),
    "palette of label images": (palette(DRAWN, [0, 0, 0, 128, 0, 0, 0, 128, 0]), {}),
}


@pytest.mark.parametrize("kind", CLEAR)
@pytest.mark.parametrize("threshold", [None, 100])
def test_what_is_drawn_on_transparency_is_the_foreground(kind, threshold, tmp_path):
    image, options = CLEAR[kind]
    assert np.array_equal(read_binary_mask(saved(tmp_path, image, **options), threshold), DRAWN)


def test_nothing_drawn_is_an_empty_mask(tmp_path):
    nothing = rgba(WHITE, WHITE, WHITE, BLACK)
    assert not read_binary_mask(saved(tmp_path, nothing), None).any()


def test_a_soft_pen_needs_a_threshold_of_its_opacity(tmp_path):
    path = saved(tmp_path, rgba(WHITE, WHITE, WHITE, SOFT))
    with pytest.raises(UserError, match=r"m\.png has 2 levels of opacity; give a threshold"):
        read_binary_mask(path, None)
    assert np.array_equal(read_binary_mask(path, 100), SOFT >= 100)
    with pytest.raises(UserError, match="reaches only 200, the threshold is 201"):
        read_binary_mask(path, 201)


def test_soft_grey_beside_transparent_black_is_grey(tmp_path):
    opacity = np.where(SOFT > 0, 255, 0).astype(np.uint8)
    path = saved(tmp_path, Image.fromarray(np.dstack([SOFT, opacity])))
    with pytest.raises(UserError, match="2 grey levels beside black"):
        read_binary_mask(path, None)
    assert np.array_equal(read_binary_mask(path, 1), DRAWN)


FRAME = np.where(np.pad(np.ones((20, 30), bool), 5), 255, 0).astype(np.uint8)
UNCLEAR = {
    "white and black, both visible and partly transparent": (rgba(BOARD, BOARD, BOARD, FRAME), {}),
    "a sheet from which the drawing is cut": (rgba(WHITE, WHITE, WHITE, WHITE - BOARD), {}),
    "hidden by full transparency": (rgba(BOARD, BOARD, BOARD, BLACK), {}),
    "white is transparent": (Image.fromarray(BOARD), {"transparency": 255}),
    "the drawing's colour of a palette is transparent": (
        palette(DRAWN, [0, 0, 0, 255, 255, 255]),
        {"transparency": 1},
    ),
}


@pytest.mark.parametrize("kind", UNCLEAR)
@pytest.mark.parametrize("threshold", [None, 100])
def test_what_may_be_meant_in_two_ways_is_refused(kind, threshold, tmp_path):
    image, options = UNCLEAR[kind]
    with pytest.raises(UserError, match=r"m\.png is partly transparent, .* not clear.*; save it in grey"):
        read_binary_mask(saved(tmp_path, image, **options), threshold)


def test_two_pens_are_refused(tmp_path):
    half = np.where(DRAWN & (np.arange(40) < 20), 255, 0).astype(np.uint8)
    with pytest.raises(UserError, match=r"m\.png is a mask in colours"):
        read_binary_mask(saved(tmp_path, rgba(BOARD, half, BLACK, BOARD)), None)


@pytest.mark.parametrize("name", ["m.gif", "m.png"])
def test_a_palette_whose_transparent_colour_is_the_background_changes_nothing(name, tmp_path):
    path = saved(tmp_path, palette(DRAWN, [0, 0, 0, 255, 255, 255]), name, transparency=0)
    assert np.array_equal(read_binary_mask(path, None), DRAWN)


@pytest.mark.parametrize("level", [0, 9, 255])
def test_of_a_palette_that_shows_one_colour_the_indices_count(level, tmp_path):
    path = saved(tmp_path, palette(DRAWN, [level] * 6))
    assert np.array_equal(read_binary_mask(path, None), DRAWN)


def test_a_mask_in_cmyk_has_the_levels_that_it_shows(tmp_path):
    path = saved(tmp_path, Image.fromarray(np.dstack([BOARD] * 3)).convert("CMYK"), "m.tif")
    assert np.array_equal(read_binary_mask(path, None), DRAWN)


@pytest.mark.parametrize("orientation", [3, 6])
def test_a_mask_that_exif_turns_is_refused(orientation, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    with pytest.raises(UserError, match="is a mask turned by its EXIF orientation; save it upright"):
        read_binary_mask(saved(tmp_path, Image.fromarray(BOARD), exif=exif), None)


def bits_of_white_zero(mask: np.ndarray) -> bytes:
    """A TIFF of one bit a pixel whose zeros are white, as programs write arrays of truth values."""
    rows = np.packbits(mask, axis=1).tobytes()
    height, width = mask.shape
    entries = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, 1, 1), (259, 3, 1, 1), (262, 3, 1, 0)]
    entries += [(273, 4, 1, 122), (277, 3, 1, 1), (278, 3, 1, height), (279, 4, 1, len(rows))]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *each) for each in entries)
    return b"II*\0" + struct.pack("<I", 8) + directory + bytes(4) + rows


def test_black_and_white_with_white_zeros_is_refused(tmp_path):
    path = tmp_path / "m.tif"
    path.write_bytes(bits_of_white_zero(DRAWN))
    with pytest.raises(UserError, match="is a TIFF whose zeros are white"):
        read_binary_mask(path, None)


def test_labels_on_transparency_are_those_that_can_be_seen(tmp_path):
    labels = np.where(DRAWN, 2, 9).astype(np.uint8)
    path = saved(tmp_path, Image.fromarray(np.dstack([labels, BOARD])))
    (region,) = LabelImage(path, {2: "artery"}, frozenset(), "m").regions(Problems())
    assert np.array_equal(decode(region.draw((40, 30), None).mask), DRAWN)
    path = saved(tmp_path, Image.fromarray(np.dstack([labels, SOFT])))
    with pytest.raises(UserError, match="half-transparent"):
        LabelImage(path, {2: "artery"}, frozenset(), "m").regions(Problems())


def test_a_field_of_view_without_a_pixel_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"m\.png is a field of view without a pixel; replace it"):
        OutsideOf(saved(tmp_path, Image.fromarray(BLACK)), None).draw(Page((40, 30), None, "m"))


def test_a_field_of_view_may_be_drawn_on_transparency(tmp_path):
    path = saved(tmp_path, rgba(WHITE, WHITE, WHITE, FRAME))
    outside = OutsideOf(path, None).draw(Page((40, 30), None, "m")).mask
    assert np.array_equal(decode(outside), FRAME == 0)
