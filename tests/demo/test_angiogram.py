from itertools import chain

import numpy as np
import pytest
import shapely
from pycocotools import mask as coco

from refvessel.demo import angiogram as module
from refvessel.demo.anatomy import SIZE
from refvessel.demo.angiogram import angiogram

_FRAMES = [(patient, frame) for patient in range(8) for frame in (0, 1)]


def _truth(outlines: list[np.ndarray]) -> np.ndarray:
    """Independent of the generator: COCO's rasteriser, union of the outlines."""
    if not outlines:
        return np.zeros((SIZE, SIZE), bool)
    return coco.decode(coco.merge(coco.frPyObjects([o.ravel().tolist() for o in outlines], SIZE, SIZE))) > 0


@pytest.fixture(scope="module")
def angiograms():
    return {(patient, frame): angiogram(7, patient, frame) for patient, frame in _FRAMES}


def test_the_same_numbers_give_the_same_angiogram(angiograms):
    again = angiogram(7, 3, 1)
    np.testing.assert_array_equal(again.image, angiograms[3, 1].image)
    np.testing.assert_array_equal(again.polygons["catheter"], angiograms[3, 1].polygons["catheter"])


def test_seed_patient_and_frame_each_change_the_image(angiograms):
    image = angiograms[3, 1].image
    for other in (angiogram(8, 3, 1), angiograms[4, 1], angiograms[3, 0]):
        assert (image != other.image).mean() > 0.5


def test_images_are_grey_and_neither_black_nor_burnt_out(angiograms):
    for drawn in angiograms.values():
        assert drawn.image.shape == (SIZE, SIZE)
        assert drawn.image.dtype == np.uint8
        assert 50 < drawn.image.mean() < 200
        assert (drawn.image == 255).mean() < 0.05


def test_outlines_lie_inside_the_image(angiograms):
    for drawn in angiograms.values():
        for outline in chain.from_iterable(drawn.polygons.values()):
            assert outline.ndim == 2
            assert len(outline) >= 3
            assert outline.min() >= 0
            assert outline.max() <= SIZE


def test_no_outline_crosses_itself(angiograms):
    for drawn in angiograms.values():
        for outline in chain.from_iterable(drawn.polygons.values()):
            assert shapely.is_valid(shapely.polygons(outline))


def test_a_patient_has_several_vessel_outlines_once_the_contrast_agent_has_spread(angiograms):
    counts = [len(angiograms[patient, 1].polygons["vessel"]) for patient in range(8)]
    assert min(counts) >= 3


def test_only_some_first_frames_are_without_vessel_and_all_frames_have_a_catheter(angiograms):
    without = [key for key, drawn in angiograms.items() if not drawn.polygons["vessel"]]
    assert 1 <= len(without) <= 6
    assert all(frame == 0 for _, frame in without)
    assert all(len(drawn.polygons["catheter"]) == 1 for drawn in angiograms.values())


def test_the_truth_is_darker_than_what_surrounds_it(angiograms):
    for drawn in angiograms.values():
        for outlines in filter(None, drawn.polygons.values()):
            truth = _truth(outlines)
            near = np.zeros_like(truth)
            for shift in [(12, 0), (-12, 0), (0, 12), (0, -12)]:
                near |= np.roll(truth, shift, axis=(0, 1))
            near &= ~_truth([*chain.from_iterable(drawn.polygons.values())])
            assert drawn.image[truth].mean() < drawn.image[near].mean() - 5


def test_what_is_drawn_and_its_truth_lie_on_the_same_pixels():
    tree = module.scene_of(7, 4).tree
    drawn = np.maximum.reduce([module._thickness(tube) for tube in tree]) > 0
    truth = _truth([tube.polygon() for tube in tree])

    def dice(shift):
        moved = np.roll(drawn, shift, axis=(0, 1))
        return 2 * (moved & truth).sum() / (moved.sum() + truth.sum())

    assert dice((0, 0)) > 0.97
    assert all(dice(shift) < 0.93 for shift in [(1, 0), (-1, 0), (0, 1), (0, -1)])
