"""Pairs of small masks."""

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays


@st.composite
def _mask(draw, shape: tuple[int, int]) -> np.ndarray:
    """Rectangles, rings (loops), lines, single pixels; or noise, nothing, everything."""
    kind = draw(st.sampled_from(["shapes", "shapes", "noise", "empty", "full"]))
    if kind == "noise":
        return draw(arrays.arrays(bool, shape))
    mask = np.full(shape, kind == "full")
    for _ in range(draw(st.integers(1, 3)) if kind == "shapes" else 0):
        (top, bottom), (left, right) = (sorted(draw(st.integers(0, n - 1)) for _ in "ab") for n in shape)
        what = draw(st.sampled_from(["rectangle", "ring", "line", "pixel"]))
        if what == "pixel":
            mask[top, left] = True
        elif what == "line":
            mask[top, left : right + 1] = True
        else:
            mask[top : bottom + 1, left : right + 1] = True
        if what == "ring":
            mask[top + 1 : bottom, left + 1 : right] = False
    return mask


@st.composite
def _mask_pair(draw, foreground: bool) -> tuple[np.ndarray, np.ndarray]:
    shape = draw(st.tuples(st.integers(1, 14), st.integers(1, 14)))
    first, second = draw(_mask(shape)), draw(_mask(shape))
    if draw(st.booleans()):
        second &= ~first  # disjoint, as a wrong vessel is
    if foreground:
        first[draw(st.integers(0, shape[0] - 1)), 0] = second[-1, draw(st.integers(0, shape[1] - 1))] = True
    return first, second


@pytest.fixture(scope="session")
def mask_pairs():
    """Two bool masks of one size, as a strategy; each has foreground with `foreground=True`."""
    return lambda foreground=False: _mask_pair(foreground)


@pytest.fixture(scope="session")
def bent_vessel():
    """A function: seed -> a branching vessel with a loop in an image of 96x128, and a prediction with mistakes."""

    def draw(seed: int) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng(seed)
        row, column = np.mgrid[:96, :128]
        centre = 48 + 20 * np.sin(column / 20 + seed)
        truth = np.abs(row - centre) < 2 + column / 40
        truth |= (np.abs(np.hypot(row - 50, column - 64) - 25) < 2) | (np.abs(row - column) < 2)
        prediction = np.roll(truth, random.integers(-2, 3, 2), axis=(0, 1))
        prediction[:, 70:76] &= random.random() < 0.5
        return prediction ^ (random.random(truth.shape) < 0.01), truth

    return draw
