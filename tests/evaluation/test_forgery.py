"""Forged predictions are found with their evidence; genuine, refined and imported ones raise nothing."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from stages import refine_predictions, score_split

from refvessel import rle
from refvessel.dataset.tree.expressions import read_expressions
from refvessel.predictions.gather import gather_predictions
from refvessel.predictions.origin import Origin, origin_of
from refvessel.predictions.table import read_records, write_predictions


@pytest.fixture(scope="module")
def gathered(tree, segmented, tmp_path_factory):
    """What the demo's model segments on three frames of 512x512."""
    path = tmp_path_factory.mktemp("gathered") / "predictions.parquet"
    gather_predictions(shards=[segmented], dataset=tree, split="test", output=path)
    return path


@pytest.fixture
def found(tree, tmp_path):
    """A function: the sanity checks of the scores of a table."""

    def checks(table):
        output = tmp_path / "scores"
        score_split(predictions=table, dataset=tree, split="test", output=output, bootstrap_draws=100)
        return json.loads((output / "summary.json").read_text("utf-8"))["sentinels"]

    return checks


@pytest.fixture
def forged(tree, gathered, tmp_path):
    """A function: the table with, for each mask, what is made of its truth."""

    def table(forge, **made_from):
        records, told = read_records(gathered)
        truths = {each.sent_id: rle.decode(each.truth).astype(bool) for each in read_expressions(tree, "test")}
        random = np.random.default_rng(0)
        masks = [rle.encode(forge(truths[each.sent_id], random)) for each in records]
        changed = [replace(one, mask=mask, masks=[mask]) for one, mask in zip(records, masks, strict=True)]
        write_predictions(tmp_path / "forged.parquet", changed, told | made_from)
        return tmp_path / "forged.parquet"

    return table


def with_noise(truth, random):
    return truth ^ (random.random(truth.shape) < 0.06 * truth.mean())


def shifted(truth, random):
    return np.roll(truth, 1, axis=1)


def dilated(truth, random):
    return ndimage.binary_dilation(truth)


def test_what_the_model_drew_raises_neither_check_native_or_refined(gathered, found, tmp_path):
    native = found(gathered)
    refine_predictions(
        predictions=gathered, output=tmp_path / "refined.parquet", smallest_component=30, smallest_hole=30
    )
    refined = found(tmp_path / "refined.parquet")
    for checks in (native, refined):
        assert not checks["altered_truth"]["raised"]
        assert not checks["undrawable"]["raised"]
        assert checks["altered_truth"]["cases"] == checks["undrawable"]["cases"] == []
    assert "0 of 6 predictions on images of more than 256 pixels" in native["undrawable"]["text"]
    assert refined["undrawable"]["text"].endswith("was not asked: they were refined.")


@pytest.mark.parametrize(
    ("forge", "change"),
    [(with_noise, "with noise"), (shifted, "shifted by 0 rows and 1 columns"), (dilated, "dilated by 1 px")],
)
def test_forged_predictions_are_found_with_their_evidence(forged, found, tree, forge, change):
    checks = found(forged(forge))
    with_truth = [each.sent_id for each in read_expressions(tree, "test") if rle.area(each.truth)]
    check = checks["altered_truth"]
    assert (check["raised"], check["count"]) == (True, len(with_truth))
    assert [case["sent_id"] for case in check["cases"]] == with_truth
    assert all(case["change"].startswith(change) for case in check["cases"])
    assert change in check["text"]
    assert f"sent_id {with_truth[0]}" in check["text"]


def test_the_same_masks_imported_are_told_and_raise_nothing(forged, found):
    checks = found(forged(shifted, imported={"format": "masks"}))
    assert not any(checks[name]["raised"] for name in ("altered_truth", "undrawable"))
    assert checks["altered_truth"]["count"] > 0
    assert checks["altered_truth"]["text"].endswith("The masks were imported.")
    assert checks["undrawable"]["text"].endswith("was not asked: they were imported.")


def test_a_mask_that_no_logits_give_is_found_whatever_the_truth(forged, found):
    def scattered(truth, random):
        rows, columns = np.mgrid[:512, :512]
        return ((rows - 256) ** 2 + (columns - 200) ** 2 < 9000) ^ (random.random(truth.shape) < 0.01)

    checks = found(forged(scattered))
    assert (checks["undrawable"]["raised"], checks["undrawable"]["count"]) == (True, 6)
    assert all(case["impossible_lines"] > 4 for case in checks["undrawable"]["cases"])
    assert not checks["altered_truth"]["raised"]


def test_a_union_of_masks_need_not_be_drawable_itself(tables):
    from refvessel.evaluation.forgery import forgery_checks
    from refvessel.evaluation.pairing import pair_expressions

    even, odd = np.zeros((1024, 1024), bool), np.zeros((1024, 1024), bool)
    for number in range(20):  # bars closer to each other than logits are
        even[100:900, 8 * number : 8 * number + 3] = True
        odd[100:900, 8 * number + 4 : 8 * number + 7] = True
    predictions, truth = tables([{"truth": ~even, "prediction": even | odd}])
    for parts, raised in (([even | odd], True), ([even, odd], False), ([even, even], True)):
        predictions["masks"] = [[rle.encode(part) for part in parts]]
        checks = forgery_checks(pair_expressions(predictions, truth), predictions, Origin.MODEL)
        assert checks["undrawable"]["raised"] == raised


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
