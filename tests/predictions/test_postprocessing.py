"""Small components go, small holes close, and everything else stays."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from refvessel.predictions.postprocessing import drop_small_components, fill_small_holes

MASKS = arrays.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))
EIGHT, FOUR = np.ones((3, 3)), ndimage.generate_binary_structure(2, 1)


def mask(*rows):
    return np.array([[character == "#" for character in row] for row in rows])


def test_components_of_fewer_pixels_are_dropped_and_diagonals_connect():
    given = mask("##..#", "#....", ".....", "#..#.", ".#...")
    assert (drop_small_components(given, 2) == mask("##...", "#....", ".....", "#....", ".#...")).all()


def test_holes_of_fewer_pixels_are_filled_but_not_bays():
    given = mask("#####.", "#.#.##", "###..#", "#.####", "#.#...")
    assert (fill_small_holes(given, 3) == mask("#####.", "###.##", "###..#", "#.####", "#.#...")).all()


@given(mask=MASKS, least=st.integers(0, 20))
def test_both_are_what_scipy_labels(mask, least):
    labels, count = ndimage.label(mask, EIGHT)
    large = [labels == number for number in range(1, count + 1) if (labels == number).sum() >= least]
    assert (drop_small_components(mask, least) == np.any([np.zeros_like(mask), *large], axis=0)).all()

    holes = ndimage.binary_fill_holes(mask, FOUR) & ~mask
    labels, count = ndimage.label(holes, FOUR)
    small = [labels == number for number in range(1, count + 1) if (labels == number).sum() < least]
    assert (fill_small_holes(mask, least) == np.any([mask, *small], axis=0)).all()
