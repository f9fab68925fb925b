"""What stored logits say at an image's size is what torch makes of them, in float32's rounding."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from torch.nn import functional

from refvessel.predictions.logits_file import logits_file, read_logits
from refvessel.predictions.prediction import read_shard
from refvessel.predictions.upsampling import image_logits, logit, masks_of_logits

ROUNDING = 4 * np.finfo(np.float32).eps  # of the largest logit; torch's own differ as much between processors


def torchs(logits: np.ndarray, height: int, width: int) -> np.ndarray:
    """As the model makes its masks: to SAM2's square, then to the image."""
    side = 4 * logits.shape[-1]
    square = functional.interpolate(
        torch.from_numpy(logits.astype(np.float32))[None], size=(side, side), mode="bilinear"
    )
    return functional.interpolate(square, size=(height, width), mode="bilinear")[0].numpy()


def random_logits(number: int, side: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 9, (number, side, side)).astype(np.float16)


def assert_as_by_torch(logits: np.ndarray, height: int, width: int) -> None:
    found, expected = image_logits(logits, height=height, width=width), torchs(logits, height, width)
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDING * np.abs(logits).max())


@given(
    st.integers(1, 20),
    st.integers(1, 3),
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.integers(0, 99),
)
def test_logits_come_to_any_image_size_as_by_torch(side, number, size, seed):
    assert_as_by_torch(random_logits(number, side, seed), *size)


@pytest.mark.parametrize("size", [(512, 512), (800, 600), (1024, 1024), (1500, 1533), (3000, 2111)])
def test_full_sized_logits_are_those_of_torch_and_masks_differ_at_most_where_rounding_decides(size):
    logits = random_logits(2, 256, seed=sum(size))
    assert_as_by_torch(logits, *size)
    expected = torchs(logits, *size)
    for threshold in (0.5, 0.3, 0.9):
        masks = masks_of_logits(logits, height=size[0], width=size[1], threshold=threshold)
        differing = masks != (expected > logit(threshold))
        assert differing.mean() < 1e-6
        assert (
            np.abs(expected[differing] - logit(threshold)).max(initial=0) <= ROUNDING * np.abs(logits).max()
        )


def test_the_demo_models_logits_give_the_masks_that_torch_gives(segmented):
    logits = dict(read_logits(logits_file(segmented)))
    for record in (each for each in read_shard(segmented) if each.num_seg):
        height, width = record.mask["size"]
        expected = torchs(logits[record.sent_id], height, width)
        for threshold in np.arange(1, 100) / 100:
            masks = masks_of_logits(logits[record.sent_id], height=height, width=width, threshold=threshold)
            assert (masks == (expected > logit(threshold))).all()


def test_a_threshold_is_a_probability():
    logits = random_logits(2, 8, seed=0) / 3
    at_half = masks_of_logits(logits, height=32, width=32, threshold=0.5)
    for threshold in (0.05, 0.3, 0.5, 0.9):
        assert expit(logit(threshold)) == pytest.approx(threshold)
        masks = masks_of_logits(logits, height=32, width=32, threshold=threshold)
        assert masks.shape == (2, 32, 32)
        smaller, larger = (masks, at_half) if threshold > 0.5 else (at_half, masks)
        assert not smaller[~larger].any()
