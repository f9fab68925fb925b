"""Flips: a model that sees the same in every flip answers the same, and others are averaged."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import expit

from refvessel.inference.augmentation import segment_flipped
from refvessel.inference.official_masks import official_masks
from refvessel.inference.segmenter import Segmentation
from refvessel.rle import encode

SIDE = 16


def picture(seed):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), np.uint8))


def answer(logits, text="[SEG]", score=0.5, leads=()):
    logits = np.asarray(logits, np.float16)
    masks = official_masks(torch.from_numpy(logits).float(), height=SIDE, width=SIDE).numpy()
    return Segmentation(text, list(map(encode, masks)), [score] * len(logits), logits, leads=[*leads])


def brightness(image):
    """Logits that a flip of the image flips."""
    pixels = np.asarray(image, np.float32).mean(-1) - 128
    return pixels.reshape(SIDE // 4, 4, SIDE // 4, 4).mean((1, 3))[None]


def test_a_model_that_flips_along_answers_as_to_the_image_alone():
    images = [picture(0), picture(1)]

    def segment(images):
        return [[answer(brightness(image)), answer(-brightness(image))] for image in images]

    for mine, plain in zip(segment_flipped(segment, images), segment(images), strict=True):
        for flipped, alone in zip(mine, plain, strict=True):
            np.testing.assert_array_equal(flipped.masks, alone.masks)
            np.testing.assert_allclose(flipped.logits, alone.logits)


def test_logits_and_scores_are_averaged():
    values = iter([(4.0, 0.2), (0.0, 0.4), (0.0, 0.4), (-8.0, 0.2)])

    def segment(images):
        logit, score = next(values)
        return [[answer(np.full((1, 4, 4), logit), score=score)] for _ in images]

    ((averaged,),) = segment_flipped(segment, [picture(0)])
    assert averaged.logits == pytest.approx(-1.0)
    assert averaged.scores == pytest.approx([0.3])
    assert not averaged.masks.any()
    assert expit(-1.0) < 0.5


def test_a_lead_is_the_smallest_of_all_views_that_take_part():
    views = iter(
        [
            answer(np.zeros((2, 4, 4)), leads=[0.2, 0.3]),
            answer(np.zeros((2, 4, 4)), leads=[0.1, 0.4]),
            answer(np.zeros((1, 4, 4)), leads=[0.0]),
            answer(np.zeros((2, 4, 4)), leads=[0.3, 0.01]),
        ]
    )
    ((averaged,),) = segment_flipped(lambda images: [[next(views)]], [picture(0)])
    assert averaged.leads == [0.1, 0.01]


def test_views_with_another_number_of_masks_take_no_part():
    views = iter(
        [answer(np.full((1, 4, 4), 1.0)), answer(np.full((2, 4, 4), -9.0)), answer(np.zeros((0, 4, 4)))]
    )
    last = answer(np.full((1, 4, 4), 3.0))
    ((averaged,),) = segment_flipped(lambda images: [[next(views, last)]], [picture(0)])
    assert averaged.logits == pytest.approx(2.0)


def test_an_answer_without_mask_stays_one():
    views = iter([answer(np.zeros((0, 4, 4)), text="No.")])
    last = answer(np.full((1, 4, 4), 3.0))
    ((averaged,),) = segment_flipped(lambda images: [[next(views, last)]], [picture(0)])
    assert averaged.answer == "No."
    assert averaged.rles == []
