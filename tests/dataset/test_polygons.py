import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from refvessel import masks
from refvessel.dataset.polygons import as_polygon, overhangs, rasterise, scale
from refvessel.errors import UserError


def test_flat_and_paired_coordinates_are_the_same_polygon():
    assert np.array_equal(as_polygon([1, 2, 3, 4, 5, 6.5], "x"), as_polygon([[1, 2], [3, 4], [5, 6.5]], "x"))


@pytest.mark.parametrize(
    ("coordinates", "reason"),
    [
        ([1, 2, 3, 4], "fewer than three points"),
        ([[1, 2], [3, 4]], "fewer than three points"),
        ([], "fewer than three points"),
        ([1, 2, 3, 4, 5, 6, 7], "odd number"),
        ([1, 2, 3, 4, 5, float("nan")], "finite"),
        ([1, 2, 3, 4, 5, float("inf")], "finite"),
        ([1, 2, 3, 4, 5, 10**400], "finite"),
        ([[1, 2], [3, 4, 5], [6, 7]], "not a pair"),
        ([[1, 2], 3, 4], "not a pair"),
        ([1, 2, 3, 4, 5, "6"], "list of numbers"),
        ([1, 2, 3, 4, 5, True], "list of numbers"),
        ({"size": [4, 4], "counts": ""}, "list of numbers"),
    ],
)
def test_what_is_no_polygon_is_refused_by_name(coordinates, reason):
    with pytest.raises(UserError, match=f"^a.json: shape 3.*{reason}"):
        as_polygon(coordinates, "a.json: shape 3")


def test_scaling_keeps_the_border_on_the_border():
    corners = np.array([[0, 0], [800, 0], [800, 600]], float)
    assert scale(corners, (800, 600), (512, 300)).tolist() == [[0, 0], [512, 0], [512, 300]]
    assert scale(corners, None, (512, 300)) is corners


@given(st.lists(st.tuples(st.floats(0, 60), st.floats(0, 50)), min_size=3, max_size=8))
def test_the_rasteriser_clips_as_cutting_a_larger_canvas_does(points):
    polygon = np.array(points)
    canvas = coco.decode(coco.frPyObjects([polygon.ravel().tolist()], 60, 70))[:, :, 0]
    assert np.array_equal(masks.decode(rasterise(polygon, 20, 30)), canvas[:20, :30])


def test_the_rasteriser_clips_at_the_upper_left_too():
    corner = rasterise(np.array([[-10, -10], [5, -10], [5, 4], [-10, 4]], float), 20, 30)
    expected = np.zeros((20, 30), np.uint8)
    expected[:4, :5] = 1
    assert np.array_equal(masks.decode(corner), expected)


def test_a_polygon_inside_is_not_clipped_and_one_on_the_border_neither():
    assert not overhangs(np.array([[0, 0], [40, 0], [40, 30]], float), (40, 30), stated=False, what="x")


def test_a_slip_over_the_border_is_clipped():
    assert overhangs(np.array([[-1, 0], [40, 0], [40, 30]], float), (40, 30), stated=False, what="x")


def test_coordinates_far_over_the_border_need_a_stated_size():
    polygon = np.array([[0, 0], [62, 0], [62, 30]], float)  # drawn at 64 x 48, the image is 40 x 30
    assert overhangs(polygon, (40, 30), stated=True, what="x")
    with pytest.raises(UserError, match=r"spans x 0 to 62.*40 x 30 pixels; state the size"):
        overhangs(polygon, (40, 30), stated=False, what="x")


@pytest.mark.parametrize("shift", [(50, 0), (-50, 0), (0, 40), (0, -40), (1e9, 0)])
def test_a_polygon_outside_the_image_is_refused(shift):
    polygon = np.array([[2, 2], [20, 4], [8, 25]], float) + shift
    with pytest.raises(UserError, match="outside the image of 40 x 30"):
        overhangs(polygon, (40, 30), stated=True, what="x")
