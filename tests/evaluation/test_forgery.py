"""Forged predictions are found with their evidence; genuine, refined and imported ones raise nothing."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from stages import score_split

from refvessel import rle
from refvessel.dataset.tree.expressions import read_expressions
from refvessel.dataset.tree.layout import IMAGES
from refvessel.dataset.tree.writing import tree_writer
from refvessel.evaluation.forgery import Forgeries
from refvessel.evaluation.pairing import pair_expressions
from refvessel.predictions.origin import Origin, origin_of
from refvessel.predictions.postprocessing import drop_small_components, fill_small_holes
from refvessel.predictions.prediction import Prediction
from refvessel.predictions.table import write_predictions

DEMO = Path(__file__).parents[1] / "data" / "demo_model"  # what the official code draws, of several sizes


def demo_mask(path):
    return np.asarray(Image.open(DEMO / path).convert("L")) > 0


@pytest.fixture(scope="module")
def genuine():
    """Truths, and the masks that the official code draws with the demo's model."""
    pairs = [
        (demo_mask(path), demo_mask(f"masks/{path.stem}.0.png"))
        for path in sorted((DEMO / "truths").glob("*.png"))
        if not path.stem.startswith("v")
    ]
    return [{"truth": truth, "prediction": mask} for truth, mask in pairs if truth.any() and mask.any()]


def checks_of(paired, predictions, origin):
    forgeries = Forgeries(origin)
    forgeries.add(paired, predictions)
    return forgeries.checks()


@pytest.fixture(scope="module")
def checks(tables):
    """A function: cases, and who drew them -> the two checks."""

    def of(cases, origin=Origin.MODEL):
        predictions, truth = tables(cases)
        return checks_of(pair_expressions(predictions, truth), predictions, origin)

    return of


def with_noise(truth, random):
    """A Dice of about .967."""
    return truth ^ (random.random(truth.shape) < 0.07 * truth.mean())


def shifted(truth, random):
    return np.roll(truth, 1, axis=1)


def dilated(truth, random):
    return ndimage.binary_dilation(truth)


def eroded(truth, random):
    return ndimage.binary_erosion(truth)


def forged(cases, forge):
    random = np.random.default_rng(0)
    return [{**case, "prediction": forge(case["truth"], random)} for case in cases]


def test_what_the_model_drew_raises_neither_check_native_or_refined(genuine, checks):
    refined = [
        {**case, "prediction": fill_small_holes(drop_small_components(case["prediction"], 30), 30)}
        for case in genuine
    ]
    native, after = checks(genuine), checks(refined, Origin.REFINED)
    for found in (*native.values(), *after.values()):
        assert (found["raised"], found["count"], found["cases"]) == (False, 0, [])
    assert native["altered_truth"]["text"].startswith(f"0 of {len(genuine)} predictions")
    assert after["undrawable"]["text"].endswith("was not asked: they were refined.")


@pytest.mark.parametrize(
    ("forge", "change"),
    [
        (with_noise, "with noise"),
        (shifted, "shifted by 0 rows and 1 columns"),
        (dilated, "dilated by 1 px (diamond)"),
        (eroded, "eroded by 1 px (diamond)"),
    ],
)
def test_forged_predictions_are_found_with_their_evidence(genuine, checks, forge, change):
    large = [case for case in genuine if min(case["truth"].shape) >= 300]
    found = checks(forged(large, forge))["altered_truth"]
    assert (found["raised"], found["count"]) == (True, len(large))
    assert [case["sent_id"] for case in found["cases"]] == list(range(1, len(large) + 1))
    assert {case["change"] for case in found["cases"]} == {change}
    assert all(case["unexplained"] <= 0.2 * case["different"] for case in found["cases"])
    assert f"({change}: {len(large)}; sent_id 1, 2, 3, 4, 5, ...)" in found["text"]


def ragged(truth, random):
    boundary = ndimage.binary_dilation(truth) & ~ndimage.binary_erosion(truth)
    return truth ^ (boundary & (random.random(truth.shape) < 0.1))


def test_noise_along_the_boundary_is_told_in_words(genuine, checks):
    large = [case for case in genuine if min(case["truth"].shape) >= 300]
    found = checks(forged(large, ragged))["altered_truth"]
    assert found["raised"]
    assert "with noise along its boundary: " in found["text"]


def test_a_mask_that_no_logits_give_is_found_whatever_the_truth(genuine, checks):
    random = np.random.default_rng(0)
    speckled = [
        {**case, "prediction": case["prediction"] ^ (random.random(case["truth"].shape) < 0.02)}
        for case in genuine
        if min(case["truth"].shape) >= 480
    ]
    found = checks(speckled)["undrawable"]
    assert (found["raised"], found["count"]) == (True, len(speckled))
    assert all(case["impossible_lines"] > 5 for case in found["cases"])
    assert (
        f"{len(speckled)} of {len(speckled)} predictions on images of more than 256 pixels" in found["text"]
    )
    assert not checks(speckled, Origin.REFINED)["undrawable"]["raised"]


def test_of_small_images_it_is_said_that_nothing_can_be_seen(checks):
    noise = np.random.default_rng(0).random((200, 256)) < 0.5
    found = checks([{"truth": ~noise, "prediction": noise}])["undrawable"]
    assert not found["raised"]
    assert found["text"].startswith("No image has more than 256 pixels on a side")


def test_a_union_of_masks_need_not_be_drawable_itself(tables):
    even, odd = np.zeros((1024, 400), bool), np.zeros((1024, 400), bool)
    for number in range(20):  # bars closer to each other than logits are
        even[8 * number : 8 * number + 3, 10:390] = True
        odd[8 * number + 4 : 8 * number + 7, 10:390] = True
    predictions, truth = tables([{"truth": ~even, "prediction": even | odd}])
    for parts, raised in (([even | odd], True), ([even, odd], False), ([even, even], True)):
        predictions["masks"] = [[rle.encode(part) for part in parts]]
        found = checks_of(pair_expressions(predictions, truth), predictions, Origin.MODEL)
        assert found["undrawable"]["raised"] == raised


@pytest.mark.parametrize(
    ("made_from", "origin"),
    [
        ({}, Origin.MODEL),
        ({"imported": {"format": "coco"}}, Origin.IMPORTED),
        ({"refinement": {"threshold": 0.3, "smallest_component": 0, "smallest_hole": 1}}, Origin.MODEL),
        ({"refinement": {"threshold": 0.5, "smallest_component": 0, "smallest_hole": 9}}, Origin.REFINED),
        ({"refinement": {"smallest_component": 9, "smallest_hole": 0}, "imported": {}}, Origin.IMPORTED),
    ],
)
def test_a_table_says_who_drew_its_masks(made_from, origin):
    assert origin_of(made_from) == origin


def test_scores_take_from_the_table_who_drew_it(genuine, tmp_path):
    truth = genuine[0]["truth"]
    height, width = truth.shape
    with tree_writer(tmp_path / "tree", ["blood vessel"]) as writer:
        writer.add(
            file_name="a.png",
            size=(width, height),
            patient="P",
            split="test",
            truths={"blood vessel": [rle.encode(truth)]},
        )
    (tmp_path / "tree" / IMAGES).mkdir(parents=True)
    Image.new("L", (width, height)).save(tmp_path / "tree" / IMAGES / "a.png")
    (asked,) = read_expressions(tmp_path / "tree", "test")
    mask = rle.encode(shifted(truth, None))
    record = Prediction(
        asked.image_id,
        asked.ref_id,
        asked.sent_id,
        asked.phrase,
        "",
        "",
        1,
        "ok",
        None,
        mask,
        [mask],
        0.5,
        0.1,
    )
    for made_from, raised in (({}, True), ({"imported": {"format": "masks"}}, False)):
        write_predictions(tmp_path / "table.parquet", [record], made_from)
        score_split(
            predictions=tmp_path / "table.parquet",
            dataset=tmp_path / "tree",
            split="test",
            output=tmp_path / "scores",
            bootstrap_draws=100,
        )
        found = json.loads((tmp_path / "scores/summary.json").read_text("utf-8"))["sentinels"][
            "altered_truth"
        ]
        assert (found["raised"], found["count"]) == (raised, 1)
        assert found["text"].endswith("The masks were imported.") != raised
