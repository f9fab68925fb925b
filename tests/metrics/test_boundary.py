"""J and F against their definition, pixel by pixel."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refvessel.metrics.boundary import (
    boundary_accuracy,
    forward_boundary,
    inner_boundary_accuracy,
    region_similarity,
    tolerance,
)

Point = tuple[int, int]


def foreground(mask) -> set[Point]:
    height, width = mask.shape
    return {(row, column) for row in range(height) for column in range(width) if mask[row, column]}


def boundary(mask) -> set[Point]:
    """Pixels that differ from the right, the lower or the lower right neighbour that they have."""
    height, width = mask.shape
    found = set()
    for row in range(height):
        for column in range(width):
            below, beside = row + 1 < height, column + 1 < width
            neighbours = [(row, column + 1)] * beside + [(row + 1, column)] * below
            neighbours += [(row + 1, column + 1)] * (below and beside)
            if any(mask[place] != mask[row, column] for place in neighbours):
                found.add((row, column))
    return found


def inner(mask) -> set[Point]:
    """Pixels of the mask beside one that is not of it, beyond the image included."""
    own = foreground(mask)
    around = ((1, 0), (-1, 0), (0, 1), (0, -1))
    return {(row, column) for row, column in own if {(row + r, column + c) for r, c in around} - own}


def j_of(prediction, truth) -> float:
    predicted, true = foreground(prediction), foreground(truth)
    return len(predicted & true) / len(predicted | true) if predicted | true else 1.0


def f_of(prediction, truth, boundary) -> float:
    predicted, true = boundary(prediction), boundary(truth)
    if not predicted and not true:
        return 1.0
    if not predicted or not true:
        return 0.0
    height, width = truth.shape
    within = math.ceil(0.008 * math.sqrt(height**2 + width**2)) ** 2

    def share(points, others):
        near = [
            any((row - r) ** 2 + (column - c) ** 2 <= within for r, c in others) for row, column in points
        ]
        return sum(near) / len(near)

    precision, recall = share(predicted, true), share(true, predicted)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@st.composite
def pairs(draw):
    """Two masks of one size: blobs, noise, bars, empty and full ones; sizes of tolerance 1 to 3."""
    height, width = draw(st.integers(1, 16)), draw(st.sampled_from([1, 2, 5, 16, 130, 260]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def mask():
        kind = draw(st.sampled_from(["noise", "sparse", "box", "empty", "full"]))
        if kind == "box":
            made = np.zeros((height, width), bool)
            rows, columns = (sorted(random.integers(0, side + 1, 2)) for side in (height, width))
            made[slice(*rows), slice(*columns)] = True
            return made
        share = {"noise": 0.5, "sparse": 0.03, "empty": 0.0, "full": 1.0}[kind]
        return random.random((height, width)) < share

    return mask(), mask()


@settings(max_examples=40)
@given(pairs())
def test_they_are_what_the_definition_says(pair):
    prediction, truth = pair
    assert region_similarity(prediction, truth) == j_of(prediction, truth)
    assert foreground(forward_boundary(prediction)) == boundary(prediction)
    assert boundary_accuracy(prediction, truth) == pytest.approx(f_of(prediction, truth, boundary), abs=1e-15)
    assert inner_boundary_accuracy(prediction, truth) == pytest.approx(
        f_of(prediction, truth, inner), abs=1e-15
    )


EMPTY, FULL, VESSEL = np.zeros((40, 60), bool), np.ones((40, 60), bool), np.zeros((40, 60), bool)
VESSEL[10:15, 5:50] = True


@pytest.mark.parametrize(
    ("prediction", "truth", "j", "f", "inner_f"),
    [
        (EMPTY, EMPTY, 1, 1, 1),
        (EMPTY, VESSEL, 0, 0, 0),
        (VESSEL, EMPTY, 0, 0, 0),
        (VESSEL, VESSEL, 1, 1, 1),
        (FULL, EMPTY, 0, 1, 0),  # a full mask has no boundary, just as an empty one
        (EMPTY, FULL, 0, 1, 0),
        (FULL, FULL, 1, 1, 1),
    ],
)
def test_masks_that_are_empty_or_full(prediction, truth, j, f, inner_f):
    assert region_similarity(prediction, truth) == j
    assert boundary_accuracy(prediction, truth) == f
    assert inner_boundary_accuracy(prediction, truth) == inner_f


def test_the_tolerance_grows_with_the_diagonal_by_whole_pixels():
    assert [tolerance(*size) for size in ((64, 80), (75, 100), (96, 128), (512, 512), (1080, 1920))] == [
        1,
        1,
        2,
        6,
        18,
    ]
