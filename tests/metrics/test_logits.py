import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from refvessel.predictions.upsampling import image_logits

ROUNDING = 1e-3  # a pixel's place among the logits is rounded to float32, by torch in another order


def torchs(logits: np.ndarray, height: int, width: int) -> np.ndarray:
    """As the model makes its masks: to SAM2's square, then to the image."""
    side = 4 * logits.shape[-1]
    square = functional.interpolate(
        torch.from_numpy(logits.astype(np.float32))[None], size=(side, side), mode="bilinear"
    )
    return functional.interpolate(square, size=(height, width), mode="bilinear")[0].numpy()


@given(
    st.integers(1, 20),
    st.integers(1, 3),
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.integers(0, 99),
)
def test_logits_come_to_any_image_size_as_by_torch(side, number, size, seed):
    logits = np.random.default_rng(seed).normal(0, 9, (number, side, side)).astype(np.float16)
    found = image_logits(logits, height=size[0], width=size[1])
    assert found.shape == (number, *size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, torchs(logits, *size), atol=ROUNDING)


@pytest.mark.parametrize("size", [(512, 512), (800, 600), (1024, 1024), (1500, 1533)])
def test_full_sized_logits_give_the_masks_that_torch_gives(size):
    logits = np.random.default_rng(0).normal(0, 9, (1, 256, 256)).astype(np.float16)
    found, expected = image_logits(logits, height=size[0], width=size[1]), torchs(logits, *size)
    np.testing.assert_allclose(
        found, expected, atol=1e-3
    )  # a pixel's place is rounded to float32, by torch too
    assert ((found > 0) != (expected > 0)).mean() < 1e-5
