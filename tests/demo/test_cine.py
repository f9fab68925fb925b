"""Synthetic cine runs: contrast agent comes and goes, the heart beats, and the truth is what is seen."""

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco
from stages import convert_dataset

from refvessel.dataset.tree.expressions import read_expressions
from refvessel.dataset.tree.ref_vos import read_mask_dict, read_ref_vos
from refvessel.demo.cine import cine_run
from refvessel.demo.cine_files import FORMS, write_cine_runs

PATIENTS, FRAMES, SIZE = (3, 4), 10, 128


@pytest.fixture(scope="module")
def runs():
    return {patient: [*cine_run(7, patient, 1, FRAMES)] for patient in PATIENTS}


def test_the_same_numbers_give_the_same_run(runs):
    frame = next(cine_run(7, 3, 1, FRAMES)).angiogram
    np.testing.assert_array_equal(frame.image, runs[3][0].angiogram.image)


def test_contrast_agent_fills_the_tree_and_leaves_it(runs):
    for frames in runs.values():
        filled = [frame.filled for frame in frames]
        most = int(np.argmax(filled))
        assert filled[0] < 0.1
        assert filled[most] > 0.9
        assert filled[-1] < 0.6
        assert filled[: most + 1] == sorted(filled[: most + 1])
        assert filled[most:] == sorted(filled[most:], reverse=True)


def test_a_vessel_is_in_the_truth_where_contrast_agent_is(runs):
    for frames in runs.values():
        for frame in frames:
            assert bool(frame.angiogram.polygons["vessel"]) == (frame.filled > 0)
            assert len(frame.angiogram.polygons["catheter"]) == 1


def test_it_leaves_first_where_it_came_first(runs):
    """The catheter ends in the ostium: contrast agent is near it at first, and far from it at last."""
    for frames in runs.values():
        distances = [_to_catheter(frame.angiogram.polygons) for frame in frames if frame.filled > 0]
        assert distances[0] < 25
        assert distances[-1] > distances[0] + 25


def _to_catheter(polygons):
    (catheter,) = polygons["catheter"]
    points = np.concatenate(polygons["vessel"])
    return np.linalg.norm(points[:, None] - catheter[None], axis=-1).min()


def test_the_heart_moves_and_comes_back(runs):
    for frames in runs.values():
        contracted = np.array([frame.contracted for frame in frames])
        tips = np.array([frame.angiogram.polygons["catheter"][0].mean(axis=0) for frame in frames])
        moved = np.linalg.norm(tips - tips[contracted.argmin()], axis=1)
        assert contracted.max() - contracted.min() > 0.5
        assert moved[contracted.argmax()] == moved.max() > 1


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    """The same runs in each form, of which every second frame is annotated, as converted trees."""
    folder = tmp_path_factory.mktemp("cine")
    masks = {
        "images": "images/{p}_r{sequence}_f{frame}.png",
        "masks": "masks/{label}/{p}_r{sequence}_f{frame}.png",
    }
    asked = {
        "labelme": {
            "sequences": r"_r(?P<sequence>\d)_f(?P<frame>\d+)$",
            "patient_pattern": "(?P<patient>.+)_r",
        },
        "masks": {"sequences": "data", "options": masks | {"patient": "{p}"}},
        "dicom": {"sequences": "data"},
        "refvos": {"patient_pattern": "JPEGImages/(?P<patient>.+)_r"},
    }
    trees = {}
    for form in FORMS:
        write_cine_runs(
            output=folder / form, form=form, patients=PATIENTS[:1], frames=6, size=SIZE, annotated_every=2
        )
        trees[form] = folder / "trees" / form
        convert_dataset(
            format=form,
            root=folder / form,
            output=trees[form],
            key_file=folder / "key" / "key",
            single_split="test",
            crossing_outlines="draw",
            **asked[form],
        )
    return trees


def _frames_and_truths(tree):
    """For each run the frames' pixels as text, and by phrase the area of the truth on each."""
    folder = tree / "ref_vos/test"
    masks = read_mask_dict(folder / "mask_dict.json")
    found = {}
    for files in read_ref_vos(folder):
        areas = {}
        for each in files.video.expressions:
            (annotation,) = each.annotations
            areas[each.text] = [mask and int(coco.area(mask)) for mask in masks[annotation]]
        found[tuple(np.asarray(Image.open(path)).tobytes() for path in files.paths)] = areas
    return found


def test_each_form_gives_the_same_runs(trees):
    """Frames to the pixel; truths but for how a form rounds its outlines."""
    expected = _frames_and_truths(trees["masks"])
    assert len(expected) == 1
    for form, tree in trees.items():
        found = _frames_and_truths(tree)
        assert found.keys() == expected.keys(), form
        for frames, areas in found.items():
            catheter = expected[frames]["catheter"]
            if form != "refvos":  # in which a frame without a mask shows nothing
                assert [area is None for area in areas["catheter"]] == [False, True] * 3
            for area, other in zip(areas["catheter"], catheter, strict=True):
                assert other is None or area == pytest.approx(other, rel=0.05)


def test_annotated_frames_are_expressions_of_the_tree(trees):
    for form in ("labelme", "masks", "dicom"):
        catheters = [each for each in read_expressions(trees[form], "test") if each.phrase == "catheter"]
        assert len(catheters) == 3, form
