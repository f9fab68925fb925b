import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from refvessel.metrics.boundary_iou import boundary_iou


def authors_boundary(mask: np.ndarray, distance: int) -> np.ndarray:
    """As Cheng et al. draw it: what erosions by squares of 3x3 take away, the image padded with background."""
    eroded = ndimage.binary_erosion(np.pad(mask, 1), np.ones((3, 3)), iterations=distance)[1:-1, 1:-1]
    return mask & ~eroded


@settings(max_examples=30)
@given(st.data(), st.integers(1, 4))
def test_it_is_the_iou_of_the_boundaries_that_its_authors_draw(mask_pairs, data, distance):
    pair = data.draw(mask_pairs(foreground=True))
    first, second = (authors_boundary(mask, distance) for mask in pair)
    assert boundary_iou(*pair, distance) == (first & second).sum() / (first | second).sum()


@pytest.mark.parametrize("seed", range(2))
def test_vessels_score_as_by_every_pixel_against_every_background_pixel(bent_vessel, seed):
    pair = bent_vessel(seed)
    near = []
    for mask in pair:
        outside = np.pad(mask, 1)
        steps = ndimage.distance_transform_cdt(outside, "chessboard")[1:-1, 1:-1]
        near.append(mask & (steps <= 2))
    assert boundary_iou(*pair, 2) == (near[0] & near[1]).sum() / (near[0] | near[1]).sum()


def test_the_inside_of_wide_masks_does_not_count_and_thin_ones_are_all_boundary():
    truth = np.zeros((40, 40), bool)
    truth[5:35, 5:35] = True
    wider = np.zeros_like(truth)
    wider[4:36, 4:36] = True
    iou = 30 * 30 / (32 * 32)
    assert boundary_iou(wider, truth, 2) == (30**2 - 28**2) / (
        32**2 - 26**2
    )  # a ring of one pixel is in both
    assert boundary_iou(wider, truth, 16) == iou


def test_of_nothing_it_is_undefined():
    assert np.isnan(boundary_iou(np.zeros((3, 3), bool), np.zeros((3, 3), bool), 2))
