"""A network that knows one of the phrases is scored and compared on that one, and both are told."""

import json

import pandas as pd
import pytest
from PIL import Image
from stages import compare_models, compare_sequences, score_sequences

from refvessel.dataset.tree.ref_vos import TreeFrame, write_frame_table
from refvessel.errors import UserError
from refvessel.predictions.table import read_records

VESSELS = {"answers": ["blood vessel"]}


@pytest.fixture
def vessels(native, tmp_path):
    """A flat folder of the masks of one phrase."""
    root = tmp_path / "vessels"
    root.mkdir()
    for each in native.sentences:
        if each.phrase == "blood vessel":
            Image.fromarray(native.masks[each.sent_id]).save(root / f"{each.image_id}.png")
    return root


def test_its_scores_are_of_what_it_answers_and_equal_the_native_ones(native, native_cases, vessels, imported, tmp_path):
    table = imported(vessels, "masks", options=VESSELS)
    records, made_from = read_records(table)
    assert {each.phrase for each in records} == {"blood vessel"}
    assert made_from["imported"]["answers"] == ["blood vessel"]
    assert made_from["imported"]["missing_taken_as_empty"] == 0
    of_vessels = native_cases[native_cases["phrase"] == "blood vessel"].reset_index(drop=True)
    pd.testing.assert_frame_equal(native.cases(table, tmp_path / "scores"), of_vessels)
    summary = json.loads((tmp_path / "scores/summary.json").read_text())
    assert summary["official"]["n_expressions"] == summary["n_expressions"] == 3


def test_models_are_compared_on_what_all_of_them_answer(native, native_cases, vessels, imported, tmp_path):
    native.cases(native.predictions, tmp_path / "native")
    native.cases(imported(vessels, "masks", options=VESSELS), tmp_path / "unet")
    cases = {name: tmp_path / name / "cases.parquet" for name in ("native", "unet")}
    comparison = compare_models(cases=cases, output=tmp_path / "compared", compared=["dice"], bootstrap_draws=100)
    assert comparison["phrases_left_out"] == {"catheter": ["unet"]}
    assert comparison["n_expressions"] == 3
    (row,) = comparison["tests"]
    of_vessels = native_cases[native_cases["phrase"] == "blood vessel"]
    mean = of_vessels.groupby("patient")["dice"].mean().mean()
    assert row["first_patient_mean"] == row["second_patient_mean"] == pytest.approx(mean)


def test_a_mask_of_what_it_answers_is_missed_as_ever(native, vessels, refusal):
    (vessels / "p1_a.png").unlink()
    assert refusal(vessels, "masks", options=VESSELS).startswith("the image p1_a has no mask of 'blood vessel'")
    assert "answers names 'stent', which tree does not ask for" in refusal(
        vessels, "masks", options={"answers": ["stent"]}
    )
