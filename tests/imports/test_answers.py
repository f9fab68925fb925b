"""A network that knows one of the phrases is scored and compared on that one, and both are told."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from stages import compare_models, compare_sequences, convert_dataset, score_sequences, score_split

from refvessel.errors import UserError
from refvessel.evaluation.shared_phrases import with_shared_phrases
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


def test_its_scores_are_of_what_it_answers_and_equal_the_native_ones(
    native, native_cases, vessels, imported, tmp_path
):
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
    comparison = compare_models(
        cases=cases, output=tmp_path / "compared", compared=["dice"], bootstrap_draws=100
    )
    assert comparison["phrases_left_out"] == {"catheter": ["unet"]}
    assert comparison["n_expressions"] == 3
    (row,) = comparison["tests"]
    of_vessels = native_cases[native_cases["phrase"] == "blood vessel"]
    mean = of_vessels.groupby("patient")["dice"].mean().mean()
    assert row["first_patient_mean"] == row["second_patient_mean"] == pytest.approx(mean)


def test_a_mask_of_what_it_answers_is_missed_as_ever(native, vessels, refusal):
    (vessels / "p1_a.png").unlink()
    assert refusal(vessels, "masks", options=VESSELS).startswith(
        "the image p1_a has no mask of 'blood vessel'"
    )
    assert "answers names 'stent', which tree does not ask for" in refusal(
        vessels, "masks", options={"answers": ["stent"]}
    )


def test_models_that_share_no_phrase_are_not_compared():
    tables = {name: pd.DataFrame({"phrase": ["blood vessel", "catheter"]}) for name in ("a", "b")}
    with pytest.raises(UserError, match="No phrase is answered by all of a, b"):
        with_shared_phrases(tables, {"a": ["blood vessel"], "b": ["catheter"]})


def test_runs_are_scored_and_compared_on_what_is_answered(imported, tmp_path):
    """Of two labels, each a band across three frames; the annotations themselves are what is imported."""
    (tmp_path / "frames").mkdir()
    for patient, frame in ((patient, frame) for patient in ("li", "wang") for frame in range(3)):
        name = f"{patient}_r1_f{frame}"
        random = np.random.default_rng([frame, ord(patient[0])])
        Image.fromarray(random.integers(0, 255, (24, 32), np.uint8)).save(tmp_path / "frames" / f"{name}.png")
        shapes = [
            {
                "label": label,
                "shape_type": "polygon",
                "points": [[4, top], [28, top], [28, top + 4], [4, top + 4]],
            }
            for label, top in (("vessel", 3 + frame), ("catheter", 14))
        ]
        page = {"imagePath": f"{name}.png", "imageData": None, "imageWidth": 32, "imageHeight": 24}
        (tmp_path / "frames" / f"{name}.json").write_text(json.dumps(page | {"shapes": shapes}))
    tree = tmp_path / "tree"
    convert_dataset(
        format="labelme",
        root=tmp_path / "frames",
        output=tree,
        key_file=tmp_path / "key/pseudonym.key",
        single_split="test",
        patient_pattern=r"^(?P<patient>[^_]+)_",
        sequences=r"^(?P<sequence>.+)_f(?P<frame>\d+)$",
        pseudonymise=False,
    )
    cases = {}
    for model, options in (("annotator", {}), ("unet", {"answers": ["vessel"]})):
        table, folder = imported(tmp_path / "frames", "labelme", tree=tree, options=options), tmp_path / model
        score_split(predictions=table, dataset=tree, split="test", output=folder, bootstrap_draws=100)
        summary = score_sequences(
            cases=folder / "cases.parquet", dataset=tree, split="test", output=folder, bootstrap_draws=100
        )
        assert list(summary["by_phrase"]) == options.get("answers", ["catheter", "vessel"])
        cases[model] = folder / "video_cases.parquet"
    comparison = compare_sequences(cases=cases, output=tmp_path, bootstrap_draws=100)
    assert comparison["phrases_left_out"] == {"catheter": ["unet"]}
    assert comparison["n_sequences"] == 2
    assert comparison["n_frames"] == 6
