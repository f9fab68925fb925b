import numpy as np
import pytest
from demo_checkpoint.samples import (
    FIRST_TRAINING_PATIENT,
    FIRST_VALIDATION_PATIENT,
    VALIDATION_IMAGES,
    Angiograms,
    union_of_outlines,
)
from demo_checkpoint.train import new_model, train_words
from pycocotools import mask as coco

from refvessel.demo.angiogram import angiogram
from refvessel.demo.annotations import FRAMES, PATIENTS


@pytest.fixture(scope="module")
def processor():
    return new_model(train_words())[0]


def test_no_patient_is_used_twice():
    assert max(PATIENTS) < FIRST_VALIDATION_PATIENT
    assert FIRST_VALIDATION_PATIENT + VALIDATION_IMAGES <= FIRST_TRAINING_PATIENT


def test_a_sample_is_the_angiogram_of_its_patient_as_the_model_reads_it(processor):
    sample = Angiograms(processor, seed=7, first_patient=20, length=8)[5]
    drawn = angiogram(7, 25, 5 % FRAMES)
    assert sample.tiles.shape == (3, 448, 448)
    assert sample.image.shape == (3, 1024, 1024)
    halves = sample.image.numpy()[0].reshape(512, 2, 512, 2).mean(axis=(1, 3))
    assert np.abs(halves - drawn.image).mean() < 3
    np.testing.assert_array_equal(sample.masks[1], union_of_outlines(drawn.polygons["catheter"]))


def test_some_samples_have_no_vessel_and_all_have_a_catheter(processor):
    samples = [Angiograms(processor, seed=7, first_patient=0, length=9)[index] for index in (0, 4, 8)]
    vessels, catheters = zip(*(sample.masks.any(-1).any(-1).tolist() for sample in samples), strict=True)
    assert all(catheters)
    assert set(vessels) == {True, False}


def test_training_masks_are_within_a_percent_of_cocos():
    for label, outlines in angiogram(7, 2, 1).polygons.items():
        ours = union_of_outlines(outlines)
        cocos = (
            coco.decode(coco.merge(coco.frPyObjects([o.ravel().tolist() for o in outlines], 512, 512))) > 0
        )
        assert 2 * (ours & cocos).sum() / (ours.sum() + cocos.sum()) > 0.98, label
