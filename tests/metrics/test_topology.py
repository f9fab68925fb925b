from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from skimage import measure, morphology
from sklearn import metrics as sklearn

from refvessel.metrics.policy import EMPTY_POLICY
from refvessel.metrics.topology import (
    Labels,
    Topology,
    cal,
    skeleton,
    skeleton_points,
    topology_scores,
)


def betti_numbers(mask: np.ndarray) -> tuple[int, int]:
    return Labels.of(mask).betti_numbers


def scores_of(prediction: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    return topology_scores(Topology.of(prediction), Topology.of(truth))


def authors_cldice(prediction, truth) -> float:
    """The clDice of its authors' repository, written out: undefined where a skeleton is empty."""

    def score(volume, lines):
        return np.sum(volume * lines) / np.sum(lines)

    precision = score(truth, morphology.skeletonize(prediction))
    recall = score(prediction, morphology.skeletonize(truth))
    return 2 * precision * recall / (precision + recall)


def paper_cal(prediction, truth) -> float:
    """C * A * L by scikit-image's morphology and labels, as the paper writes them."""
    disc = morphology.disk(2)
    lines = [morphology.skeletonize(mask) for mask in (prediction, truth)]
    wide = [ndimage.binary_dilation(mask, disc) for mask in (prediction, truth)]
    components = [measure.label(mask, connectivity=2).max() for mask in (prediction, truth)]
    c = 1 - min(1, abs(components[1] - components[0]) / np.count_nonzero(truth))
    a = np.count_nonzero((wide[0] & truth) | (prediction & wide[1])) / np.count_nonzero(prediction | truth)
    matched = (lines[0] & wide[1]) | (wide[0] & lines[1])
    return c * a * np.count_nonzero(matched) / np.count_nonzero(lines[0] | lines[1])


def counted_points(lines: np.ndarray) -> tuple[int, int]:
    """Branch and end points, pixel by pixel: runs of skeleton around a pixel, touching branch pixels joined."""
    padded = np.pad(lines, 1)
    branching, ends = np.zeros_like(padded), 0
    for row, column in product(range(1, padded.shape[0] - 1), range(1, padded.shape[1] - 1)):
        if padded[row, column]:
            clockwise = [(-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1)]
            ring = [padded[row + i, column + j] for i, j in clockwise]
            changes = sum(a != b for a, b in zip(ring, ring[1:] + ring[:1], strict=True))
            branching[row, column] = changes // 2 >= 3
            ends += changes // 2 == 1
    return int(measure.label(branching, connectivity=2).max()), ends


@given(st.data())
def test_cldice_equals_its_authors_where_they_define_it(mask_pairs, data):
    prediction, truth = data.draw(mask_pairs(foreground=True))
    with np.errstate(invalid="ignore"):
        expected = authors_cldice(prediction, truth)
    # Disjoint masks make theirs 0/0; the harmonic mean of two zeros is 0.
    assert scores_of(prediction, truth)["cldice"] == pytest.approx(np.nan_to_num(expected), abs=1e-9)


@given(st.data())
def test_skeleton_precision_and_recall_equal_scikit_learns_recall_on_the_skeletons(mask_pairs, data):
    prediction, truth = data.draw(mask_pairs(foreground=True))
    scores = scores_of(prediction, truth)
    for name, lines, mask in (
        ("skeleton_precision", skeleton(prediction), truth),
        ("skeleton_recall", skeleton(truth), prediction),
    ):
        assert scores[name] == pytest.approx(sklearn.recall_score(lines.ravel(), mask.ravel()), abs=1e-9)


@given(st.data())
def test_betti_numbers_equal_scikit_images_labels_and_euler_number(mask_pairs, data):
    mask, _ = data.draw(mask_pairs())
    components = measure.label(mask, connectivity=2).max()
    holes = components - measure.euler_number(mask, connectivity=2)
    assert betti_numbers(mask) == (components, holes)


@given(st.data())
def test_betti_numbers_equal_scipys_filled_holes(mask_pairs, data):
    mask, _ = data.draw(mask_pairs())
    holes = ndimage.binary_fill_holes(mask) & ~mask
    expected = ndimage.label(mask, np.ones((3, 3)))[1], ndimage.label(holes)[1]
    assert betti_numbers(mask) == expected


@pytest.mark.parametrize(
    ("rows", "components", "holes"),
    [
        (["10", "01"], 1, 0),
        (["010", "101", "010"], 1, 1),
        (["1111", "1011", "1101", "1111"], 1, 2),
    ],
    ids=["two pixels", "a loop one pixel wide", "two holes"],
)
def test_a_corner_joins_vessels_and_not_holes(rows, components, holes):
    mask = np.array([list(row) for row in rows]) == "1"
    assert betti_numbers(mask) == (components, holes)


@given(st.data())
def test_betti_errors_are_differences_of_both_signs(mask_pairs, data):
    pair = data.draw(mask_pairs())
    scores = scores_of(*pair)
    (components, holes), (true_components, true_holes) = map(betti_numbers, pair)
    assert scores["betti0_error"] == abs(components - true_components)
    assert scores["betti1_error"] == abs(holes - true_holes)


@given(st.data())
def test_cal_equals_the_papers_formulas_by_scikit_image(mask_pairs, data):
    prediction, truth = data.draw(mask_pairs(foreground=True))
    assert scores_of(prediction, truth)["cal"] == pytest.approx(paper_cal(prediction, truth), abs=1e-9)


def test_cal_forgives_two_pixels_and_no_more():
    truth = np.zeros((30, 30), bool)
    truth[10] = True
    near, far = np.roll(truth, 2, axis=0), np.roll(truth, 3, axis=0)
    assert cal(Topology.of(near), Topology.of(truth)) == 1
    assert cal(Topology.of(far), Topology.of(truth)) == 0


def test_cal_multiplies_its_three_parts():
    truth = np.zeros((9, 100), bool)
    truth[4] = True
    prediction = truth.copy()
    prediction[4, 50:60] = False  # one component more: C = 1 - 1/100; six of the ten are out of reach
    assert scores_of(prediction, truth)["cal"] == pytest.approx(0.99 * 0.94 * 0.94, abs=1e-12)


@given(st.data())
def test_branch_and_end_points_equal_a_count_pixel_by_pixel(mask_pairs, data):
    mask, other = data.draw(mask_pairs())
    assert skeleton_points(skeleton(mask)) == counted_points(skeleton(mask))
    scores = scores_of(mask, other)
    (branches, ends), (other_branches, other_ends) = (
        counted_points(skeleton(each)) for each in (mask, other)
    )
    assert scores["branch_point_error"] == abs(branches - other_branches)
    assert scores["end_point_error"] == abs(ends - other_ends)


@pytest.mark.parametrize(
    ("drawing", "branch_points", "end_points"),
    [
        (["#####"], 0, 2),
        (["..#..", "..#..", "#####", "..#..", "..#.."], 1, 4),
        (["#...#", ".#.#.", "..#..", "..#..", "..#.."], 1, 3),
        ([".##..", "#..#.", "#..#.", ".##.."], 0, 0),
        (["##...", ".##..", "..##."], 0, 2),  # a staircase does not branch
        (["#"], 0, 0),
        (["..."], 0, 0),
    ],
)
def test_points_of_known_drawings(drawing, branch_points, end_points):
    lines = np.array([[pixel == "#" for pixel in row] for row in drawing])
    assert skeleton_points(lines) == (branch_points, end_points)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("empty", ["prediction", "truth", "both"])
def test_cldice_differs_from_its_authors_where_a_mask_is_empty(empty):
    """Theirs is 0/0 there: an empty answer to a vessel would leave the mean. The policy gives 0, or 1 for both."""
    nothing, some = np.zeros((4, 4), bool), np.eye(4, dtype=bool)
    pair = [nothing if empty in (which, "both") else some for which in ("prediction", "truth")]
    assert np.isnan(authors_cldice(*pair))
    assert EMPTY_POLICY["cldice"][f"{empty}_empty"] == (1 if empty == "both" else 0)


@pytest.mark.parametrize("seed", range(4))
def test_vessels_score_as_with_the_independent_formulas(bent_vessel, seed):
    prediction, truth = bent_vessel(seed)
    scores = scores_of(prediction, truth)
    assert scores["cldice"] == pytest.approx(authors_cldice(prediction, truth), abs=1e-9)
    assert scores["cal"] == pytest.approx(paper_cal(prediction, truth), abs=1e-9)
    points = [counted_points(skeleton(mask)) for mask in (prediction, truth)]
    assert scores["branch_point_error"] == abs(points[0][0] - points[1][0])


@given(st.data())
def test_every_component_keeps_a_pixel_of_its_skeleton(mask_pairs, data):
    mask, _ = data.draw(mask_pairs())
    labels = measure.label(mask, connectivity=2)
    assert set(labels[skeleton(mask)]) == set(labels[mask])


def test_an_empty_mask_defines_what_counting_defines():
    empty, ring = np.zeros((7, 7), bool), np.ones((7, 7), bool)
    ring[2:5, 2:5] = False
    scores = scores_of(ring, empty)
    assert np.isnan(scores["cldice"])
    assert np.isnan(scores["cal"])
    assert (scores["betti0_error"], scores["betti1_error"]) == (1, 1)
    assert scores_of(empty, ring)["cal"] == 0
