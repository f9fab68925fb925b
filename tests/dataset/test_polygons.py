import cv2
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from refvessel import rle
from refvessel.dataset.regions.polygons import as_polygon, crosses_itself, overhangs, rasterise, scale
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
    assert np.array_equal(rle.decode(rasterise(polygon, 20, 30)), canvas[:20, :30])


def test_the_rasteriser_clips_at_the_upper_left_too():
    corner = rasterise(np.array([[-10, -10], [5, -10], [5, 4], [-10, 4]], float), 20, 30)
    expected = np.zeros((20, 30), np.uint8)
    expected[:4, :5] = 1
    assert np.array_equal(rle.decode(corner), expected)


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


@pytest.mark.parametrize(
    "outline",
    [
        pytest.param([(0, 0), (4, 4), (4, 0), (0, 4)], id="a bow"),
        pytest.param([(0, 0), (4, 4), (4, 1), (0, 4)], id="an uneven bow"),
        pytest.param([(0, 0), (4, 0), (4, 4), (0, 4), (0, 0), (4, 0), (4, 4), (0, 4)], id="twice around"),
        pytest.param([(6, 3), (1, 5), (4, 0), (4, 6), (1, 1)], id="a pentagram"),
    ],
)
def test_an_outline_that_encloses_something_twice_or_backwards_crosses_itself(outline):
    assert crosses_itself(np.array(outline, float))


@pytest.mark.parametrize(
    "outline",
    [
        pytest.param([(0, 0), (4, 0), (4, 4), (0, 4)], id="a square"),
        pytest.param([(0, 0), (4, 0), (8, 0), (4, 0), (4, 4), (0, 4)], id="a spike"),
        pytest.param([(0, 0), (4, 0), (4, 4), (2, 0), (0, 4)], id="a corner on an edge"),
        pytest.param(
            [(0, 0), (2, 0), (2, 2), (4, 2), (4, 4), (2, 4), (2, 2), (0, 2)], id="two squares at a corner"
        ),
        pytest.param(
            [(0, 0), (6, 0), (6, 6), (0, 6), (0, 0), (2, 2), (2, 4), (4, 4), (4, 2), (2, 2)],
            id="around a hole",
        ),
    ],
)
def test_an_outline_that_touches_itself_does_not_cross_itself(outline):
    assert not crosses_itself(np.array(outline, float))


def test_outlines_traced_around_thin_vessels_do_not_cross_themselves():
    draw = np.random.default_rng(0)
    outlines = []
    for _ in range(50):
        mask = np.zeros((64, 64), np.uint8)
        for ends in draw.integers(2, 62, (4, 2, 2)).tolist():
            cv2.line(mask, *ends, color=1, thickness=int(draw.integers(1, 4)))
        traced, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
        outlines += [outline[:, 0].astype(float) for outline in traced if len(outline) > 2]
    assert sum(not shapely.is_simple(shapely.linearrings(outline)) for outline in outlines) > 10
    assert not any(map(crosses_itself, outlines))
