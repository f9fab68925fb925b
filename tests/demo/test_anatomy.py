from itertools import chain

import numpy as np
import pytest
from skimage.draw import polygon2mask

from refvessel.demo.anatomy import SIZE, Tube, catheter, coronary_tree


@pytest.fixture(scope="module")
def trees():
    return [coronary_tree(np.random.default_rng(seed)) for seed in range(30)]


def test_vessels_are_two_to_fourteen_pixels_wide_and_taper(trees):
    for tube in chain.from_iterable(trees):
        assert tube.radius.min() >= 1
        assert tube.radius.max() <= 7
        assert (np.diff(tube.radius) <= 0).all()


def test_a_side_branch_starts_on_another_vessel_where_the_contrast_agent_is(trees):
    for tree in trees:
        for branch in tree[1:]:
            parents = [
                parent
                for parent in tree
                if parent is not branch
                and np.isclose(parent.path, branch.path[0]).any()
                and np.isclose(parent.points, branch.points[0]).all(axis=1).any()
            ]
            assert parents


def test_trees_lie_on_both_sides(trees):
    ostia = np.array([tree[0].points[0] for tree in trees])
    assert (ostia[:, 0] < SIZE / 2).any()
    assert (ostia[:, 0] > SIZE / 2).any()


def test_an_outline_never_crosses_itself(trees):
    """The even-odd area of an outline equals length times width only where it does not overlap itself."""
    for tube in chain.from_iterable(trees):
        polygon = tube.polygon()
        x, y = polygon.T
        shoelace = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
        segments = np.linalg.norm(np.diff(tube.points, axis=0), axis=1)
        area = (segments * (tube.radius[1:] + tube.radius[:-1])).sum()
        assert shoelace == pytest.approx(area, rel=0.05)


def test_a_straight_tube_has_a_rectangle_as_outline():
    points = np.stack([np.linspace(100, 200, 11), np.full(11, 60.0)], axis=1)
    tube = Tube(points, np.full(11, 4.0), np.zeros(11))
    mask = polygon2mask((SIZE, SIZE), tube.polygon()[:, ::-1] - 0.5)
    rows, columns = np.nonzero(mask)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (56, 63, 100, 199)
    assert mask.sum() == 8 * 100


def test_a_catheter_enters_at_the_border_and_ends_in_the_ostium_with_one_width():
    entry, ostium, heading = np.array([250.0, -6.0]), np.array([180.0, 140.0]), np.array([-0.8, 0.6])
    tube = catheter(entry, ostium, heading, 3.5)
    np.testing.assert_allclose(tube.points[[0, -1]], [entry, ostium])
    last = tube.points[-1] - tube.points[-2]
    assert np.dot(last / np.linalg.norm(last), heading) > 0.99
    assert set(tube.radius) == {3.5}
    assert tube.polygon()[:, 1].min() == 0


def test_a_catheter_that_bends_sharply_at_the_border_has_an_outline_too():
    """The inner side of the bend crosses itself, and of such an outline GEOS may know no intersection."""
    random = np.random.default_rng(0)
    crossed = 0
    for _ in range(400):
        entry, ostium = np.array([random.uniform(30, 480), -6.0]), random.uniform((90, 70), (420, 200))
        angle = random.uniform(-np.pi, np.pi)
        tube = catheter(entry, ostium, np.array([np.cos(angle), np.sin(angle)]), 4.0)
        polygon = tube.polygon()
        assert ((polygon >= 0) & (polygon <= SIZE)).all()
        assert len(polygon) >= 4
        tangent = np.gradient(tube.points, axis=0)
        curvature = np.abs(np.diff(np.unwrap(np.arctan2(tangent[:, 1], tangent[:, 0])))) / 3
        crossed += curvature.max() > 1 / 4
    assert crossed > 20
