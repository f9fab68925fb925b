"""How steady masks are, where the motion is known."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from refvessel.metrics.temporal import consistency, enlarged, flicker, motion, moved, reduced

SHIFT = (3, -4)  # rows down, columns left


@pytest.fixture(scope="module")
def two_frames():
    """An image of blurred noise, 200 x 240, and the same moved."""
    noise = gaussian_filter(np.random.default_rng(0).random((300, 300)), 6)
    noise = (255 * (noise - noise.min()) / np.ptp(noise)).astype(np.uint8)
    first = noise[40:240, 30:270]
    second = noise[40 - SHIFT[0] : 240 - SHIFT[0], 30 - SHIFT[1] : 270 - SHIFT[1]]
    return Image.fromarray(first), Image.fromarray(second)


@pytest.fixture(scope="module")
def flow(two_frames):
    first, second = map(reduced, two_frames)
    return enlarged(motion(first, second), (200, 240))


def bar(row, column):
    mask = np.zeros((200, 240), bool)
    mask[row : row + 12, column : column + 120] = True
    return mask


def test_images_are_reduced_to_grey_of_128_pixels(two_frames):
    grey = reduced(two_frames[0].convert("RGB"))
    assert grey.shape == (107, 128)
    assert grey.dtype == np.float32
    assert 0 <= grey.min() < grey.max() <= 1
    assert reduced(Image.new("L", (30, 20), 255)).tolist() == np.ones((20, 30)).tolist()


def test_motion_leads_back_to_where_a_pixel_was(flow):
    assert flow.shape == (2, 200, 240)
    inside = flow[:, 30:-30, 30:-30]
    np.testing.assert_allclose(np.median(inside, axis=(1, 2)), np.negative(SHIFT), atol=0.5)


def test_a_mask_that_moves_with_the_image_is_consistent(flow):
    before, after = bar(80, 60), bar(80 + SHIFT[0], 60 + SHIFT[1])
    assert consistency(before, after, flow) > 0.9
    assert consistency(before, before, flow) < 0.75  # it stays, though the image moves
    assert consistency(np.zeros_like(before), np.zeros_like(before), flow) == 1
    assert consistency(before, np.zeros_like(before), flow) == 0


def test_without_motion_a_mask_stays_as_it_is():
    mask = bar(80, 60)
    np.testing.assert_array_equal(moved(mask, np.zeros((2, 200, 240), np.float32)), mask)


def test_flicker_is_what_steady_growth_has_not():
    truth = np.array([100, 200, 300, 400])
    assert flicker(truth, truth) == 0
    # second differences -200 and 200, of a truth of 250 pixels on average
    assert flicker(np.array([100, 300, 300, 500]), truth) == pytest.approx((200 + 200) / 2 / 250)
    assert np.isnan(flicker(truth[:2], truth[:2]))
    assert np.isnan(flicker(truth, np.zeros(4, int)))
