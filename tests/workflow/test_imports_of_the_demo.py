"""The demo compares three models, two of them imported; its own masks come back from the forms of others."""

import json

import nibabel
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from refvessel import rle
from refvessel.imports.importing import import_predictions
from refvessel.predictions.table import read_predictions, read_records
from refvessel.settings.checked import checked_section
from refvessel.settings.model_section import Model

MODELS = ["demo", "vesselness", "annotator"]


@pytest.fixture(scope="module")
def comparison(demo):
    return json.loads((demo.results / "comparisons/demo/test/comparison.json").read_text())


def test_three_models_are_compared_on_the_phrase_that_all_of_them_answer(demo, comparison):
    assert comparison["models"] == MODELS
    assert comparison["phrases_left_out"] == {"catheter": ["vesselness"]}
    cases = pd.read_parquet(demo.results / "scores/demo/demo/test/cases.parquet")
    assert comparison["n_expressions"] == (cases["phrase"] == "blood vessel").sum()
    assert {row["detectable_difference"] is None for row in comparison["tests"]} == {False}


def test_each_model_is_ranked_by_three_methods_and_the_ridge_filter_is_shown_to_be_the_last(demo, comparison):
    ranking = pd.read_csv(demo.results / "comparisons/demo/test/ranking.csv").set_index(["score", "model"])
    by_dice = ranking.loc["dice"]
    assert set(by_dice.index) == set(MODELS)
    for method in ("rank", "rank_by_mean_rank", "rank_by_tests_won"):
        assert by_dice.loc["vesselness", method] == 3
    shown = {
        (row["first"], row["second"]): row["verdict"] for row in comparison["tests"] if row["score"] == "dice"
    }
    assert shown["demo", "vesselness"] == shown["vesselness", "annotator"] == "shown"


def test_the_page_tells_the_comparison_in_words(demo):
    html = (demo.results / "report/index.html").read_text("utf-8")
    assert "Not compared on &#39;catheter&#39;, to which vesselness had no answer to give." in html
    assert "demo is better than vesselness by " in html
    assert "It answers blood vessel alone" in html


def as_png(predictions, folder):
    for each in predictions:
        (folder / each.phrase.replace(" ", "_")).mkdir(parents=True, exist_ok=True)
        mask = Image.fromarray(rle.decode(each.mask) * 255)
        mask.save(folder / each.phrase.replace(" ", "_") / f"{each.image_id}.png")


def as_nifti(predictions, folder):
    for each in predictions:
        (folder / each.phrase).mkdir(parents=True, exist_ok=True)
        mask = nibabel.Nifti1Image(rle.decode(each.mask).T[..., None], np.eye(4))
        nibabel.save(mask, folder / each.phrase / f"{each.image_id}.nii.gz")


@pytest.mark.parametrize(
    ("entrant", "dataset", "settings"),
    [
        ("demo", "demo", {"format": "masks"}),
        ("demo", "demo", {"format": "nnunet"}),
        ("demo", "demo", {"format": "coco", "options": {"missing": "empty"}}),  # COCO has no empty results
        ("demo-video", "films", {"format": "results"}),
    ],
    ids=["png", "nifti", "coco", "results"],
)
def test_the_demos_masks_come_back_from_the_forms_of_others(demo, tmp_path, entrant, dataset, settings):
    places = f"{entrant}/{dataset}/test"
    table = demo.results / f"predictions/{places}/predictions.parquet"
    known, _ = read_records(table)
    roots = {
        "masks": tmp_path,
        "nnunet": tmp_path,
        "coco": demo.results / f"scores/{places}/coco_results.json",
        "results": table.parent / "results.json",
    }
    if settings["format"] in ("masks", "nnunet"):
        {"masks": as_png, "nnunet": as_nifti}[settings["format"]](known, tmp_path)
    import_predictions(
        dataset=demo.results / f"datasets/{dataset}",
        split="test",
        settings=checked_section(Model, {"predictions": str(roots[settings["format"]]), **settings}),
        output=tmp_path / "imported.parquet",
    )
    found, _ = read_predictions(tmp_path / "imported.parquet")
    expected = {each.sent_id: each.mask for each in known}
    assert dict(zip(found["sent_id"], found["mask"], strict=True)) == expected
