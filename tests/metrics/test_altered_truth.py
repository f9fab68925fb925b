import cv2
import numpy as np
import pytest
from scipy import ndimage

from refvessel.metrics.altered_truth import _CHANGES, alteration_of

SQUARE = np.ones((3, 3), bool)


def vessels(height, width, wider=0.0):
    """Bent vessels of several widths, one of which leaves the image; `wider` is in pixels, on either side."""
    rows, columns = np.mgrid[:height, :width]
    drawn = np.zeros((height, width), bool)
    for place, bend, half_width in ((0.3, 0.11, 2.5), (0.55, 0.06, 3.5), (0.8, 0.1, 1.8)):
        middle = height * (place + bend * np.sin(columns / width * 7 + 9 * place))
        drawn |= abs(rows - middle) < half_width + wider
    return drawn


@pytest.fixture(scope="module", params=[(512, 512), (300, 417), (140, 96)], ids=str)
def truth(request):
    return vessels(*request.param)


def noisy(truth, dice, random):
    """Pixels flipped anywhere, as many as leave this Dice on average."""
    share = truth.mean()
    flipped = 2 * share * (1 - dice) / (2 * share * (1 - dice) + dice * (1 - 2 * share) + 2 * share * dice)
    return truth ^ (random.random(truth.shape) < flipped)


@pytest.mark.parametrize(
    ("alter", "change"),
    [
        (lambda truth: np.roll(truth, 1, axis=1), "shifted by 0 rows and 1 columns"),
        (lambda truth: np.roll(truth, (-1, 1), axis=(0, 1)), "shifted by -1 rows and 1 columns"),
        (lambda truth: ndimage.shift(truth, (2, 0), order=0), "shifted by 2 rows and 0 columns"),
        (ndimage.binary_dilation, "dilated by 1 px (diamond)"),
        (lambda truth: ndimage.binary_dilation(truth, SQUARE), "dilated by 1 px (square)"),
        (lambda truth: ndimage.binary_dilation(truth, SQUARE, iterations=2), "dilated by 2 px (square)"),
        (lambda truth: ndimage.binary_erosion(truth, border_value=1), "eroded by 1 px (diamond)"),
        (lambda truth: ndimage.binary_erosion(truth, SQUARE), "eroded by 1 px (square)"),
    ],
)
def test_a_truth_that_was_moved_is_found_whatever_was_done_at_the_edge(truth, alter, change):
    altered = alter(truth)
    assert alteration_of(altered, truth).change == change
    speckled = noisy(altered, 0.99, np.random.default_rng(0))
    assert alteration_of(speckled, truth).change == change


@pytest.mark.parametrize("seed", range(3))
def test_a_truth_with_noise_is_found(truth, seed):
    found = alteration_of(noisy(truth, 0.967, np.random.default_rng(seed)), truth)
    assert found.change == "with noise"
    assert found.unexplained < 0.2 * found.different


@pytest.mark.parametrize("seed", range(3))
def test_a_truth_with_noise_along_its_boundary_is_found(truth, seed):
    random = np.random.default_rng(seed)
    boundary = ndimage.binary_dilation(truth, SQUARE) & ~ndimage.binary_erosion(truth, SQUARE)
    ragged = truth ^ (boundary & (random.random(truth.shape) < 0.08))
    found = alteration_of(ragged, truth)
    if min(truth.shape) < 256:
        assert found is None  # a logit may be a pixel
    else:
        assert found.change == "with noise along its boundary"
        assert 0 < found.unexplained < 0.4 * found.different


def test_errors_that_go_on_along_the_boundary_are_no_noise(truth):
    """Steps of one pixel, each 2 to 6 pixels long, as coarse logits leave."""
    columns = np.arange(truth.shape[1])
    stretches = np.cumsum(np.random.default_rng(0).integers(2, 7, truth.shape[1]))
    up = np.searchsorted(stretches, columns) % 3 == 0
    assert alteration_of(np.where(up, np.roll(truth, 1, axis=0), truth), truth) is None


def test_a_truth_of_which_pixels_were_dropped_is_found():
    truth = np.zeros((256, 256), bool)
    truth[60:200:40], truth[100:112] = True, True
    truth = ndimage.binary_dilation(truth, SQUARE, iterations=3)
    dropped = truth & (np.random.default_rng(0).random(truth.shape) > 0.06)
    assert alteration_of(dropped, truth).change == "with noise"


def test_ignored_pixels_say_nothing(truth):
    random = np.random.default_rng(0)
    ignored = np.zeros_like(truth)
    ignored[:, : truth.shape[1] // 3] = True
    anything = np.where(ignored, random.random(truth.shape) < 0.5, np.roll(truth, 1, axis=0))
    assert alteration_of(anything, truth) is None
    found = alteration_of(anything, truth, ignored)
    assert found is not None
    assert found.change == "shifted by 1 rows and 0 columns"


@pytest.mark.parametrize("wobble", [0.4, 1, 2])
def test_a_model_that_errs_along_boundaries_is_none_of_these(truth, wobble):
    """Very good ones included: the signed distance from the truth's boundary, with a smooth error."""
    random = np.random.default_rng(1)
    distance = ndimage.distance_transform_edt(truth) - ndimage.distance_transform_edt(~truth)
    error = ndimage.gaussian_filter(random.normal(0, 1, truth.shape), 3)
    assert alteration_of(distance + wobble * error / error.std() > 0, truth) is None


@pytest.mark.parametrize("wider", [-0.1, 0.1])
def test_a_vessel_that_is_drawn_a_little_wider_is_no_noise(truth, wider):
    """It differs in single pixels, at the steps of the boundary."""
    drawn = vessels(*truth.shape, wider)
    assert np.count_nonzero(drawn != truth) > 20
    assert alteration_of(drawn, truth) is None


def test_neither_is_the_truth_itself_nor_anything_beside_an_empty_truth(truth):
    assert alteration_of(truth, truth) is None
    empty = np.zeros_like(truth)
    assert alteration_of(truth, empty) is None
    assert alteration_of(empty, truth) is None
    assert alteration_of(truth[:3, :3], ~truth[:3, :3]) is None


def test_truths_are_altered_as_opencv_would_alter_them(truth):
    ellipses = [
        each.element for each in _CHANGES if each.said["values"].get("shape", {}).get("text") == "ellipse"
    ]
    assert len(ellipses) == 2
    assert all((each == cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))).all() for each in ellipses)
    for each in _CHANGES:
        change = cv2.erode if each.erodes else cv2.dilate
        assert (each.apply(truth) == change(truth.view(np.uint8), each.element).view(bool)).all(), each.said
