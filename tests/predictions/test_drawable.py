import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from refvessel.predictions.drawable import could_be_drawn, impossible_lines
from refvessel.predictions.upsampling import _to_image, masks_of_logits

SIDES = st.sampled_from([31, 96, 256, 257, 300, 480, 511, 512, 640, 801, 1000, 1024, 1333])


def bumps(random, roughness):
    """Logits of blobs and ridges, or of nothing but noise, as float16 as they are stored."""
    rows, columns = np.mgrid[:256, :256] / 40
    phases = random.uniform(0, 6, 4)
    smooth = np.sin(rows * 2 + phases[0]) * np.cos(columns + phases[1]) + np.sin(
        rows - 3 * columns + phases[2]
    )
    return (4 * smooth + random.normal(0, roughness, smooth.shape)).astype(np.float16)


@settings(max_examples=12)
@given(st.integers(0, 10_000), SIDES, SIDES, st.sampled_from([0, 0.5, 4, 1000]), st.floats(0.05, 0.95))
def test_no_mask_that_logits_give_is_called_impossible(seed, height, width, roughness, threshold):
    logits = bumps(np.random.default_rng(seed), roughness)
    (mask,) = masks_of_logits(logits[None], height=height, width=width, threshold=threshold)
    assert impossible_lines(mask) == 0
    assert could_be_drawn(mask)


@pytest.mark.parametrize(("height", "width"), [(512, 512), (333, 777), (1024, 640)])
def test_nor_is_one_that_torch_upsamples(height, width):
    logits = torch.from_numpy(bumps(np.random.default_rng(1), 2).astype(np.float32))[None, None]
    square = torch.nn.functional.interpolate(logits, size=(1024, 1024), mode="bilinear")
    image = torch.nn.functional.interpolate(square, size=(height, width), mode="bilinear")
    assert impossible_lines((image.sigmoid() > 0.5)[0, 0].numpy()) == 0


def drawable_row(row, side):
    """Whether a linear program finds logits whose upsampling has these signs: one that knows nothing of cells."""
    signs = np.where(row, 1.0, -1.0)[:, None]
    constraints = -signs * _to_image(side, len(row)).toarray()
    found = linprog(np.zeros(side), A_ub=constraints, b_ub=-np.ones(len(row)), bounds=(None, None))
    return found.status == 0


@pytest.mark.parametrize(("side", "length"), [(8, 8), (8, 11), (8, 16), (8, 27), (8, 32), (6, 40)])
def test_a_row_or_column_is_impossible_exactly_where_no_linear_program_finds_its_logits(side, length):
    random = np.random.default_rng(length)
    answers = set()
    for share in np.repeat([0.05, 0.15, 0.3, 0.5], 10):
        row = np.cumsum(random.random(length) < share) % 2 == 1
        mask = np.tile(row, (2, 1))  # whose columns change nowhere
        drawable = drawable_row(row, side)
        assert (impossible_lines(mask, side) == 0) == (impossible_lines(mask.T, side) == 0) == drawable
        answers.add(drawable)
    assert answers == ({True} if length <= side else {True, False})


@pytest.mark.parametrize(("height", "width"), [(512, 512), (480, 640), (801, 1000), (1333, 512)])
@pytest.mark.parametrize("flipped", [0.005, 0.02])
def test_flipped_pixels_make_a_mask_that_no_logits_give(height, width, flipped):
    random = np.random.default_rng(0)
    (mask,) = masks_of_logits(bumps(random, 0.5)[None], height=height, width=width, threshold=0.5)
    assert not could_be_drawn(mask ^ (random.random(mask.shape) < flipped))


def test_a_few_lines_are_left_to_rounding():
    mask = np.zeros((512, 512), bool)
    mask[10:12, 100:140:2] = True
    assert impossible_lines(mask) == 2
    assert could_be_drawn(mask)
    mask[20:30, 100:140:2] = True
    assert not could_be_drawn(mask)
