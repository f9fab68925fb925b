"""The demo's runs: frame by frame and as videos, on the same frames."""

import json

import pandas as pd
import pytest
from pycocotools import mask as coco

from refvessel.dataset.tree.ref_vos import read_frame_table, read_ref_vos
from refvessel.demo.cine_files import DEMO_PATIENTS

TREE = "datasets/films/ref_vos/test"
PROMPTED = 5  # frames that the language model sees


@pytest.fixture(scope="module")
def cases(demo):
    return {
        name: pd.read_parquet(demo.results / f"scores/{name}/films/test/cases.parquet")
        for name in ("demo", "demo-video")
    }


def test_both_ways_are_compared_on_the_same_frames(demo, cases):
    comparison = json.loads((demo.results / "comparisons/films/test/comparison.json").read_text())
    assert comparison["models"] == ["demo", "demo-video"]
    assert comparison["n_expressions"] == len(cases["demo"]) == len(cases["demo-video"])
    assert set(cases["demo"]["sent_id"]) == set(cases["demo-video"]["sent_id"])
    assert cases["demo-video"]["patient"].nunique() == len(DEMO_PATIENTS) >= 2


@pytest.mark.parametrize("phrase", ["blood vessel", "catheter"])
def test_frames_that_only_the_memory_knows_are_segmented_nearly_as_well_as_alone(demo, cases, phrase):
    table = read_frame_table(demo.results / TREE / "frames.json")
    followed = {
        place.sent_id
        for expressions in table.values()
        for frames in expressions.values()
        for frame, place in frames.items()
        if int(frame) >= PROMPTED
    }
    alone, video = (
        each[each["sent_id"].isin(followed) & (each["phrase"] == phrase)]["dice"] for each in cases.values()
    )
    assert len(alone) == len(video) == 3 * len(DEMO_PATIENTS)
    assert video.mean() >= alone.mean() - 0.15


def test_the_official_results_have_every_frame_of_every_expression(demo):
    folder = demo.results / "predictions/demo-video/films/test"
    results = json.loads((folder / "results.json").read_text())
    gathered = pd.read_parquet(folder / "predictions.parquet").set_index("sent_id")
    table = read_frame_table(demo.results / TREE / "frames.json")
    for files in read_ref_vos(demo.results / TREE):
        video = files.video
        assert results[video.name].keys() == {each.id for each in video.expressions}
        for identifier, answer in results[video.name].items():
            assert answer["frames"] == list(video.frames) == sorted(video.frames)
            for frame, mask in zip(video.frames, answer["prediction_masks"], strict=True):
                assert mask["size"] == [files.height, files.width]
                known = json.loads(gathered.loc[table[video.name][identifier][frame].sent_id, "mask"])
                assert coco.area(mask) == coco.area(known)
