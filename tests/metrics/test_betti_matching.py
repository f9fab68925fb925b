import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import measure

from refvessel import rle
from refvessel.metrics.betti_matching import betti_matching_errors
from refvessel.metrics.topology import Labels


def errors(prediction: np.ndarray, truth: np.ndarray) -> tuple[int, int]:
    return betti_matching_errors(*map(Labels.of, (prediction, truth, prediction | truth)))


def drawn(*rows: str) -> np.ndarray:
    return np.array([[pixel == "#" for pixel in row] for row in rows])


def kept_by_the_inclusion(holes: np.ndarray, filled: np.ndarray) -> int:
    """Rank of the map from a mask's holes to those of a larger mask: how many keep a pixel that is not filled."""
    return len(set(holes[~filled].tolist()) - {0})


def by_ranks(prediction: np.ndarray, truth: np.ndarray) -> tuple[int, int]:
    """From the definition: barcodes of the images of both masks' homology in that of the union, by their ranks.

    Components: two classes match where the images of both masks in the union's components have them. Holes: the
    union is filled pixel by pixel in the order of its rows; a bar of an image ends where the rank of the inclusion
    falls. Bars of both images that end together with one of the union match.
    """
    union = prediction | truth
    masks = (prediction, truth, union)
    joined, number = measure.label(union, connectivity=2, return_num=True)
    images = [{int(label) for label in joined[mask]} for mask in masks]
    outside = [measure.label(~np.pad(mask, 1), connectivity=1) for mask in masks]
    holes = [np.where(labels == labels[0, 0], 0, labels) for labels in outside]
    filled, matched = np.pad(union, 1), 0
    ranks = [kept_by_the_inclusion(each, filled) for each in holes]
    for row, column in np.argwhere(~filled):
        filled[row, column] = True
        after = [kept_by_the_inclusion(each, filled) for each in holes]
        matched += all(before > now for before, now in zip(ranks, after, strict=True))
        ranks = after
    components = [int(measure.label(mask, connectivity=2).max()) for mask in masks[:2]]
    numbers = [len(set(each.ravel().tolist()) - {0}) for each in holes[:2]]
    assert number == len(images[2])
    return sum(components) - 2 * len(images[0] & images[1]), sum(numbers) - 2 * matched


@settings(max_examples=40)
@given(st.data())
def test_the_errors_equal_those_of_the_barcodes(mask_pairs, data):
    pair = data.draw(mask_pairs())
    assert errors(*pair) == by_ranks(*pair)


@pytest.mark.parametrize("density", [0.35, 0.5, 0.65])
def test_noise_scores_as_by_the_barcodes(density):
    random = np.random.default_rng(int(100 * density))
    for _ in range(12):
        pair = random.random((2, *random.integers(3, 17, 2))) < density
        assert errors(*pair) == by_ranks(*pair)


def test_vessels_score_as_by_the_authors_code():
    """Its numbers, recorded by `benchmarks/betti_matching.py`: of trees with gaps, islands, loops, pinholes."""
    path = Path(__file__).parents[1] / "data" / "betti_matching.json"
    pairs = json.loads(path.read_text("utf-8"))["pairs"]
    assert len(pairs) == 24
    for pair in pairs:
        masks = (rle.decode(pair[name]).astype(bool) for name in ("prediction", "truth"))
        assert list(errors(*masks)) == pair["unmatched"]


@settings(max_examples=30)
@given(st.data())
def test_they_are_symmetric_and_at_least_the_betti_errors_and_0_of_equal_masks(mask_pairs, data):
    first, second = data.draw(mask_pairs())
    found = errors(first, second)
    assert errors(second, first) == found
    numbers = [Labels.of(mask).betti_numbers for mask in (first, second)]
    for error, one, other in zip(found, *numbers, strict=True):
        assert abs(one - other) <= error <= one + other
        assert (error - one - other) % 2 == 0
    assert errors(first, first) == (0, 0)


def test_a_wholly_wrong_tree_has_as_many_components_and_holes_and_matches_none():
    truth = drawn("####......", "#..#......", "####......")
    assert errors(truth[:, ::-1], truth) == (2, 2)
    assert Labels.of(truth).betti_numbers == Labels.of(truth[:, ::-1]).betti_numbers


@pytest.mark.parametrize(
    ("prediction", "truth", "expected"),
    [
        (["##.##"], ["#####"], (1, 0)),  # one cut: one of the two pieces answers the vessel
        (["##.##", ".....", "#...."], ["#####", ".....", "....."], (2, 0)),
        (["###", "#.#", "#.."], ["###", "#.#", "###"], (0, 1)),  # an open loop
        (["###", "###", "###"], ["###", "#.#", "###"], (0, 1)),  # a filled one
        (["...", "...", "..."], ["###", "#.#", "###"], (1, 1)),
        (["#.", ".#"], ["##", "##"], (0, 0)),  # a corner joins
        (["#####", "#...#", "#####"], ["#####", "#.#.#", "#####"], (0, 1)),  # two holes where one is
    ],
    ids=["a cut", "a cut and an island", "open", "filled", "nothing", "a corner", "a bridge"],
)
def test_errors_of_known_drawings(prediction, truth, expected):
    assert errors(drawn(*prediction), drawn(*truth)) == expected


def test_of_two_holes_that_are_left_of_one_the_one_that_is_filled_last_answers_it():
    wide = drawn("#######", "#.....#", "#######")
    first, last = drawn("#######", "#.#####", "#######"), drawn("#######", "#####.#", "#######")
    assert errors(wide, first | last) == (0, 1)  # one bar: the union has one hole, where both are filled
    two = first & last
    assert errors(wide, two)[1] == 1
    assert errors(wide, last)[1] == errors(wide, first)[1] == 0
