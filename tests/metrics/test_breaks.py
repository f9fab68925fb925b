"""Trees drawn from their own branches, cut at known places: what a break is, and what is none."""

import itertools

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.draw import line

from refvessel.geometry import local_widths
from refvessel.metrics.breaks import GAP, LOST, Break, BrokenTree, broken_tree
from refvessel.metrics.centre_lines import CentreLines
from refvessel.metrics.topology import skeleton

SIDE, TOLERANCE = 128, 3
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE]


def drawn(*branches: tuple[tuple[int, int], ...], radius: float) -> np.ndarray:
    """The pixels at most `radius` from the lines through the corners of each branch, (row, column)."""
    lines = np.ones((SIDE, SIDE), bool)
    for branch in branches:
        for start, end in itertools.pairwise(branch):
            lines[line(*start, *end)] = False
    return ndimage.distance_transform_edt(lines) <= radius


def without(mask: np.ndarray, row: float, column: float, radius: float) -> np.ndarray:
    return mask & (np.hypot(ROWS - row, COLUMNS - column) > radius)


def of(prediction: np.ndarray, truth: np.ndarray) -> BrokenTree:
    return broken_tree(prediction, truth, lines_of(truth), TOLERANCE)


def lines_of(truth: np.ndarray) -> CentreLines:
    lines = skeleton(truth)
    return CentreLines.of(lines, local_widths(truth, lines))


def places(found: BrokenTree) -> list[tuple[int, int]]:
    return [(each.row, each.column) for each in found.breaks]


STEM = ((64, 8), (64, 120))
UPPER, LOWER = ((64, 40), (14, 70)), ((64, 80), (112, 100))


@pytest.fixture(scope="module", params=[0, 1, 2.5, 4], ids="radius {}".format)
def truth(request) -> np.ndarray:
    """A stem with two branches."""
    return drawn(STEM, UPPER, LOWER, radius=request.param)


@st.composite
def cut_trees(draw) -> tuple[np.ndarray, np.ndarray, list[tuple[float, float]]]:
    """A truth, a prediction that misses discs of its branches, and where those are."""
    ends = [draw(st.integers(10, 118)) for _ in range(2)]
    branches = [((64, 6), (64, 122)), ((64, 34), (10, ends[0])), ((64, 84), (118, ends[1]))]
    radius = draw(st.sampled_from([0, 1, 2, 3.5]))
    truth = drawn(*branches, radius=radius)
    width = draw(st.sampled_from([0.5, 2, 4]))
    sites = [(0, 0.12), (0, 0.45), (0, 0.9), (1, 0.6), (2, 0.6)]
    chosen = draw(st.lists(st.sampled_from(sites), unique=True))
    centres = []
    prediction = truth
    for branch, share in chosen:
        start, end = map(np.array, branches[branch])
        centre = start + share * (end - start)
        across = np.abs((np.stack([ROWS, COLUMNS], -1) - centre) @ ((end - start) / np.hypot(*(end - start))))
        near = np.hypot(ROWS - centre[0], COLUMNS - centre[1]) <= radius + 4
        prediction = prediction & ~(near & (across <= width + 0.5))
        centres.append(tuple(centre))
    return truth, prediction, centres


@settings(max_examples=40, deadline=None)
@given(cut_trees())
def test_every_cut_is_found_where_it_is_and_none_is_invented(tree):
    truth, prediction, cuts = tree
    found = of(prediction, truth)
    assert [each.kind for each in found.breaks] == [GAP] * len(cuts)
    for row, column in cuts:
        assert min(np.hypot(row - r, column - c) for r, c in places(found)) <= 3
    components = ndimage.label(prediction, np.ones((3, 3)))[1]
    assert len(found.breaks) == components - 1


@settings(max_examples=25, deadline=None)
@given(cut_trees())
def test_what_is_connected_and_lost_is_what_a_graph_of_the_skeleton_says(tree):
    truth, prediction, _ = tree
    lines = skeleton(truth)
    graph = nx.Graph()
    for row, column in np.argwhere(lines):
        graph.add_node((row, column))
        for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
            beside = row + down, column + right
            straight = [(row + down, column), (row, column + right)] if down and right else []
            if lines[beside] and not any(lines[each] for each in straight):
                graph.add_edge((row, column), beside, length=np.hypot(down, right))
    component = ndimage.label(prediction, np.ones((3, 3)))[0]
    lengths: dict[int, float] = {}
    for first, second, length in graph.edges(data="length"):
        for each in (first, second):
            lengths[component[each]] = lengths.get(component[each], 0) + length / 2
    whole = sum(lengths.values())
    answered = {label: length for label, length in lengths.items() if label}
    slack = 8 * len(answered) / whole  # a component answers up to the cut's middle
    found = of(prediction, truth)
    assert found.connectivity == pytest.approx(max(answered.values()) / whole, abs=slack)
    assert max((each.length_lost for each in found.breaks), default=0) <= whole - max(answered.values()) + 1


def test_a_break_says_where_it_is_how_wide_the_vessel_and_how_much_is_lost_behind():
    truth = drawn(((64, 4), (64, 120)), radius=3)
    (found,) = of(without(truth, 64, 100, 6), truth).breaks
    assert (found.kind, found.row) == (GAP, 64)
    assert found.column == pytest.approx(100, abs=1)
    assert found.calibre == 8  # the nearest background is four rows away
    assert 9 <= found.gap <= 13  # columns 94 to 106 in the middle, 95 to 104 at the walls
    assert found.length_lost == pytest.approx(123 - 106, abs=2)  # to the rounded end of the vessel


def test_a_cut_of_one_pixel_breaks_a_vessel_and_a_cut_that_leaves_a_corner_does_not():
    truth = drawn(((64, 4), (64, 120)), radius=1)
    slit = truth.copy()
    slit[:, 60] = False
    assert len(of(slit, truth).breaks) == 1
    slit[63, 60] = True  # joined to both sides by its corners, too
    assert of(slit, truth).breaks == []
    diagonal = np.eye(SIDE, dtype=bool)
    assert lines_of(diagonal).length.sum() == pytest.approx((SIDE - 1) * np.sqrt(2))
    assert of(diagonal, diagonal) == BrokenTree(1.0, [])


def test_the_whole_truth_is_no_break(truth):
    assert of(truth, truth) == BrokenTree(pytest.approx(1), [])


@pytest.mark.parametrize("shift", [(1, 0), (0, -1), (2, 0), (-1, 1), (2, 2), (0, 2)])
def test_a_shifted_prediction_breaks_nothing_and_its_cut_stays_one(truth, shift):
    moved = np.roll(truth, shift, axis=(0, 1))
    found = of(moved, truth)
    assert found.breaks == []
    assert found.connectivity > 0.97
    assert len(of(without(moved, 64 + shift[0], 60 + shift[1], 7), truth).breaks) == 1


@pytest.mark.parametrize("by", [-2, -1, 1, 2])
def test_a_wider_or_thinner_prediction_breaks_nothing_and_its_cut_stays_one(by):
    truth, other = (drawn(STEM, UPPER, LOWER, radius=radius) for radius in (3, 3 + by))
    assert of(other, truth) == BrokenTree(pytest.approx(1, abs=0.01), [])
    assert len(of(without(other, 64, 60, 9), truth).breaks) == 1


def test_a_cut_at_a_branch_point_disconnects_each_of_its_arms_but_one(truth):
    found = of(without(truth, 64, 80, 9), truth)
    assert [each.kind for each in found.breaks] == [GAP, GAP]
    assert all(np.hypot(row - 64, column - 80) < 12 for row, column in places(found))


def test_a_branch_that_is_missed_wholly_is_a_break_where_it_leaves(truth):
    rest = truth & ~(drawn(LOWER, radius=5) & ~drawn(STEM, radius=4))
    breaks = of(rest, truth).breaks
    assert [each.kind for each in breaks] == [LOST]
    (found,) = breaks
    assert np.isnan(found.gap)
    assert np.hypot(found.row - 64, found.column - 80) < 14
    assert found.length_lost == pytest.approx(np.hypot(48, 20), abs=12)


def test_a_missed_tip_is_no_break_but_is_not_connected(truth):
    found = of(truth & (ROWS < 95), truth)
    assert found.breaks == []
    assert 0.8 < found.connectivity < 0.97


def test_a_tree_of_which_nothing_is_found_is_a_break(truth):
    (found,) = of(np.zeros_like(truth), truth).breaks
    assert found.kind == LOST
    assert of(np.zeros_like(truth), truth).connectivity == 0
    assert found.length_lost == pytest.approx(lines_of(truth).length.sum())


def test_a_cut_in_a_loop_disconnects_nothing_and_two_disconnect_once():
    ring = ((30, 30), (30, 98), (98, 98), (98, 30), (30, 30))
    truth = drawn(ring, ((64, 98), (64, 120)), radius=2)
    once = without(truth, 30, 60, 5)
    assert of(once, truth).breaks == []
    twice = of(without(once, 98, 60, 8), truth)
    assert places(twice) == [(30, pytest.approx(60, abs=1))]  # the shorter of the two gaps
    arc = truth & ~((COLUMNS < 94) & (ROWS < 60))  # a whole arc is missed
    assert of(arc, truth).breaks == []


def test_each_separate_tree_of_the_truth_is_judged_by_itself():
    trees = drawn(((20, 4), (20, 120)), ((100, 4), (100, 60)), radius=2)
    assert of(trees, trees) == BrokenTree(pytest.approx(1), [])
    joined = trees | drawn(((20, 30), (100, 30)), radius=1)
    assert of(joined, trees) == BrokenTree(pytest.approx(1), [])
    one = of(trees & (ROWS < 60), trees)
    assert [each.kind for each in one.breaks] == [LOST]
    assert one.connectivity == pytest.approx(116 / 172, abs=0.02)


def test_no_bridge_through_the_background_heals_a_cut():
    truth = drawn(((64, 4), (64, 120)), radius=2)
    cut = without(truth, 64, 60, 5)
    bridge = drawn(((64, 40), (40, 40), (40, 80), (64, 80)), radius=1)
    assert places(of(cut | bridge, truth)) == [(64, pytest.approx(60, abs=1))]


def test_specks_and_a_vessel_split_lengthwise_are_no_pieces():
    truth = drawn(((64, 4), (64, 120)), radius=4)
    hollow = truth & (ROWS != 64)
    assert of(hollow, truth) == BrokenTree(pytest.approx(1), [])
    speck = truth.copy()
    speck[62:67, 50:55] = False
    speck[64, 52] = True
    assert of(speck, truth).breaks == []
    far = truth | (np.hypot(ROWS - 20, COLUMNS - 20) < 6)
    assert of(far, truth).breaks == []


def test_at_the_edges_of_the_image_nothing_else_holds():
    truth = drawn(((0, 0), (0, 127), (127, 127)), radius=1)
    assert of(truth, truth) == BrokenTree(pytest.approx(1), [])
    assert places(of(without(truth, 0, 60, 4), truth)) == [(0, pytest.approx(60, abs=1))]


def test_without_a_truth_there_is_nothing_to_break():
    empty, dot = np.zeros((9, 9), bool), np.zeros((9, 9), bool)
    dot[4, 4] = True
    assert np.isnan(of_shape(empty, empty).connectivity)
    assert of_shape(dot, empty).breaks == []
    assert of_shape(dot, dot) == BrokenTree(1.0, [])
    assert of_shape(empty, dot) == BrokenTree(0.0, [])  # too short for a vessel


def of_shape(prediction: np.ndarray, truth: np.ndarray) -> BrokenTree:
    return of(prediction, truth)


def test_the_greatest_loss_comes_first():
    truth = drawn(((64, 4), (64, 120)), radius=2)
    found = of(without(without(truth, 64, 40, 5), 64, 100, 5), truth)
    assert [each.length_lost for each in found.breaks] == sorted(
        (each.length_lost for each in found.breaks), reverse=True
    )
    assert isinstance(found.breaks[0], Break)
