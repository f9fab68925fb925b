"""Run lengths that a GPU makes are the text of pycocotools, byte by byte."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco

from refvessel.inference import mask_texts
from refvessel.inference.mask_texts import coco_texts, encode_masks

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=40))


def by_pycocotools(mask):
    """Of bool (width, height)."""
    return coco.encode(np.asfortranarray(mask.T, np.uint8))["counts"].decode()


def alternating(*runs):
    """A mask of one column with these runs, background first."""
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs)[None]


# Runs and differences of runs around those at which one more digit is needed, both signs.
LONG = [
    alternating(*(length + by for length in (16, 512, 16_384, 524_288) for by in (-1, 0, 1))),
    alternating(700_000, 1, 1, 16_400, 400, 15, 600_000, 500_000, 3),
]


@settings(max_examples=30, deadline=None)
@given(st.lists(MASKS, min_size=1, max_size=4))
def test_masks_of_any_sizes_at_once_get_the_text_of_pycocotools(masks):
    assert coco_texts([torch.from_numpy(mask) for mask in masks]) == list(map(by_pycocotools, masks))


def test_so_do_long_runs_and_masks_of_one_value_beside_each_other():
    full, bare = np.ones((3, 5), bool), np.zeros((3, 5), bool)
    masks = [full, bare, bare, *LONG, full, full, np.ones((1, 1), bool)]
    assert coco_texts([torch.from_numpy(mask) for mask in masks]) == list(map(by_pycocotools, masks))


@pytest.mark.parametrize("at_once", [1, 70, 1 << 24])
def test_each_answer_gets_its_own_masks_however_many_are_encoded_at_once(monkeypatch, at_once):
    monkeypatch.setattr(mask_texts, "_PIXELS_AT_ONCE", at_once)
    drawn = torch.from_numpy(np.random.default_rng(0).random((5, 4, 9)) < 0.4)
    portions = list(mask_texts._portions([*drawn]))
    assert [len(portion) for portion in portions] == {1: [1] * 5, 70: [1] * 5, 1 << 24: [5]}[at_once]
    encoded = encode_masks([drawn[:1], drawn[:0], drawn[1:]])
    expected = list(map(by_pycocotools, drawn.numpy()))
    assert [[each["counts"] for each in mine] for mine in encoded] == [expected[:1], [], expected[1:]]
    assert all(each["size"] == [9, 4] for mine in encoded for each in mine)
