import json
from functools import partial

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from stages import score as score_with_intervals

from refvessel import rle
from refvessel.errors import UserError
from refvessel.evaluation import judging
from refvessel.files import sha256_of_file
from refvessel.metrics.cases import CASES_SCHEMA

score = partial(score_with_intervals, bootstrap_draws=100)


def test_cases_have_fixed_columns_and_types_and_stand_in_order(tables, vessel_cases, tmp_path):
    predictions, truth = tables(vessel_cases)
    score(predictions=predictions[::-1], truth=truth.sample(frac=1, random_state=0), output=tmp_path)
    table = pq.read_table(tmp_path / "cases.parquet")
    assert table.schema.equals(CASES_SCHEMA)
    assert table["sent_id"].to_pylist() == [1, 2, 3, 4, 5, 6]
    assert table["status"].to_pylist() == ["ok", "ok", "ok", "failed", "no_seg", "ok"]
    assert table["error"].to_pylist() == [None, None, None, "out of memory", None, None]
    assert table["recall"].to_pylist()[5] is None


def test_column_types_do_not_depend_on_the_values(tables, tmp_path):
    empty = np.zeros((2, 2), bool)
    predictions, truth = tables(
        [{"truth": empty, "prediction": ~empty}]
    )  # every recall and error is undefined
    score(predictions=predictions, truth=truth, output=tmp_path)
    assert pq.read_schema(tmp_path / "cases.parquet").equals(CASES_SCHEMA)


def test_every_score_can_be_recomputed_from_the_masks_in_the_cases(tables, vessel_cases, tmp_path):
    predictions, truth = tables(vessel_cases)
    score(predictions=predictions, truth=truth, output=tmp_path)
    for case in pd.read_parquet(tmp_path / "cases.parquet").to_dict("records"):
        expected, found = (rle.decode(json.loads(case[name])) for name in ("truth_mask", "predicted_mask"))
        assert case["tp"] == (expected & found).sum()
        assert (case["truth_pixels"], case["predicted_pixels"]) == (expected.sum(), found.sum())
        assert case["tp"] + case["fp"] + case["fn"] + case["tn"] == case["height"] * case["width"]


def test_the_same_input_gives_the_same_bytes(tables, vessel_cases, tmp_path):
    for name in ("first", "second"):
        predictions, truth = tables(vessel_cases)
        score(predictions=predictions, truth=truth, output=tmp_path / name, provenance={"split": "test"})
    for file in ("cases.parquet", "summary.json"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


def test_cases_in_many_row_groups_read_as_those_in_one(tables, vessel_cases, tmp_path, monkeypatch):
    predictions, truth = tables(vessel_cases)
    summary = score(predictions=predictions, truth=truth, output=tmp_path / "one")
    monkeypatch.setattr(judging, "_CASES_PER_GROUP", 4)
    in_groups = score(predictions=predictions, truth=truth, output=tmp_path / "many")
    assert pq.ParquetFile(tmp_path / "many/cases.parquet").num_row_groups == 2
    for name in ("cases.parquet", "breaks.parquet"):
        one, many = (pq.read_table(tmp_path / folder / name) for folder in ("one", "many"))
        assert many.equals(one)
    assert {**in_groups, "provenance": None} == {**summary, "provenance": None}


def test_both_files_carry_what_they_were_made_from(tables, vessel_cases, tmp_path):
    predictions, truth = tables(vessel_cases)
    provenance = {"dataset": {"name": "dataset.json", "bytes": 3, "sha256": "ab"}}
    returned = score(predictions=predictions, truth=truth, output=tmp_path, provenance=provenance)
    summary = json.loads((tmp_path / "summary.json").read_text("utf-8"))
    assert summary == returned
    assert summary["provenance"]["dataset"] == provenance["dataset"]
    assert summary["provenance"]["versions"]["refvessel"]
    assert summary["provenance"]["cases"]["sha256"] == sha256_of_file(tmp_path / "cases.parquet")
    metadata = json.loads(pq.read_schema(tmp_path / "cases.parquet").metadata[b"refvessel"])
    assert metadata["dataset"] == provenance["dataset"]


def test_the_policy_in_force_is_written_and_used(tables, tmp_path):
    empty = np.zeros((2, 2), bool)
    predictions, truth = tables([{"truth": empty, "prediction": empty}])
    summary = score(
        predictions=predictions, truth=truth, output=tmp_path, empty_cases={"dice": {"both_empty": None}}
    )
    assert summary["dice_mean"] is None
    assert summary["dice_n"] == 0
    assert summary["settings"]["empty_policy"]["dice"]["both_empty"] is None
    assert summary["settings"]["empty_policy"]["iou"]["both_empty"] == 1


def test_overlap_of_two_expressions_of_one_image_is_kept_apart(tables, tmp_path):
    left = np.zeros((4, 4), bool)
    left[:, :2] = True
    predictions, truth = tables(
        [
            {"truth": left, "prediction": left, "image_id": "a", "phrase": "blood vessel"},
            {"truth": ~left, "prediction": left, "image_id": "a", "phrase": "catheter"},
        ]
    )
    summary = score(predictions=predictions, truth=truth, output=tmp_path)
    assert summary["by_phrase"]["blood vessel"]["dice_mean"] == 1
    assert summary["by_phrase"]["catheter"]["dice_mean"] == 0


def test_expressions_of_one_phrase_are_paired_by_their_number(tables, tmp_path):
    left = np.zeros((4, 4), bool)
    left[:, :2] = True
    same = {"truth": left, "image_id": "a"}
    predictions, truth = tables([{**same, "prediction": left}, {**same, "prediction": ~left}])
    predictions, truth = (table.assign(ref_id=1) for table in (predictions[::-1], truth))
    score(predictions=predictions, truth=truth, output=tmp_path)
    assert pd.read_parquet(tmp_path / "cases.parquet").set_index("sent_id")["dice"].to_dict() == {1: 1, 2: 0}


def drop_one(predictions, truth):
    return predictions[1:], truth


def double_one(predictions, truth):
    return pd.concat([predictions, predictions[:1]]), truth


def double_truth(predictions, truth):
    return predictions, pd.concat([truth, truth[:1]])


def add_unknown(predictions, truth):
    return pd.concat([predictions, predictions[:1].assign(sent_id=99)]), truth


def empty_truth(predictions, truth):
    return predictions, truth[:0]


def change(table: str, column: str, value):
    """A mistake in the first expression of the predictions or of the truth."""

    def changed(predictions, truth):
        which = {"predictions": predictions, "truth": truth}[table]
        which[column] = pd.Series([value, *which[column][1:]], index=which.index)
        return predictions, truth

    return changed


@pytest.mark.parametrize(
    ("mistake", "named"),
    [
        (drop_one, r"without a prediction \(sent_id 1\)"),
        (double_one, r"more than once in the predictions \(sent_id 1\)"),
        (double_truth, r"more than once in the truth \(sent_id 1\)"),
        (add_unknown, r"unknown to the truth \(sent_id 99\)"),
        (empty_truth, "no expression"),
        (change("predictions", "phrase", "catheter"), "sent_id 1 has phrase 'blood vessel'.*'catheter'"),
        (change("predictions", "image_id", "other"), "sent_id 1 has image_id"),
        (change("predictions", "ref_id", 77), "sent_id 1 has ref_id"),
        (change("predictions", "status", "done"), "sent_id 1 has the status 'done'"),
        (change("predictions", "mask", rle.empty(24, 31)), "24x31 pixels in the predictions.*24x32"),
        (change("predictions", "mask", rle.empty(32, 24)), "32x24 pixels in the predictions.*24x32"),
        (change("truth", "mask", rle.empty(24, 31)), "24x31 pixels in the truth"),
        (change("truth", "height", 25), "25x32"),
        (change("predictions", "mask", {"size": [24, 32], "counts": "abc"}), "not a COCO RLE"),
        (change("predictions", "mask", None), "not a COCO RLE"),
        (change("predictions", "status", "failed"), "status failed and yet a mask"),
        (change("predictions", "status", "no_seg"), "status no_seg and yet a mask"),
    ],
)
def test_a_mismatch_is_refused_before_anything_is_written(tables, vessel_cases, tmp_path, mistake, named):
    predictions, truth = mistake(*tables(vessel_cases))
    with pytest.raises(UserError, match=named):
        score(predictions=predictions, truth=truth, output=tmp_path / "scores")
    assert not (tmp_path / "scores").exists()


def test_the_same_predictions_are_scored_against_truths_drawn_otherwise(tables, vessel_cases, tmp_path):
    predictions, truth = tables(vessel_cases)
    chosen = {number: vessel_cases[number - 1]["truth"] for number in (1, 3, 5, 6)}
    redrawn = {
        "wide": {number: rle.encode(mask | np.roll(mask, 1, axis=1)) for number, mask in chosen.items()},
        "none": {number: rle.empty(*mask.shape) for number, mask in chosen.items()},
    }
    rows = score(predictions=predictions, truth=truth, output=tmp_path, redrawn=redrawn)["by_rasteriser"]
    assert list(rows) == ["coco", "wide", "none"]
    for name, drawn in (
        ("coco", truth["mask"].set_axis(truth["sent_id"]).loc[list(chosen)].to_dict()),
        *redrawn.items(),
    ):
        some = predictions[predictions["sent_id"].isin(chosen)]
        alone = truth[truth["sent_id"].isin(chosen)].assign(mask=list(drawn.values()))
        expected = score(predictions=some, truth=alone, output=tmp_path / name)
        assert rows[name] == {key: expected[key] for key in rows[name]}
    assert score(predictions=predictions, truth=truth, output=tmp_path)["by_rasteriser"] == {}


def test_odd_images_are_scored(tables, tmp_path):
    """One pixel high, one wide, touching every border, covered by truth, and without a pixel that counts."""
    row, column, frame = np.ones((1, 9), bool), np.ones((7, 1), bool), np.ones((6, 8), bool)
    frame[1:-1, 1:-1] = False
    cases = [
        {"truth": row, "prediction": np.arange(9)[None] < 6, "spacing": (0.2, 0.4)},
        {"truth": column, "prediction": column & False, "spacing": (0.4, 0.2)},
        {"truth": frame, "prediction": ~frame, "spacing": (1.0, 0.5)},
        {"truth": np.ones((6, 8), bool), "prediction": np.ones((6, 8), bool), "spacing": (1.0, 1.0)},
        {"truth": frame, "prediction": ~frame, "ignore": np.ones((6, 8), bool), "spacing": (1.0, 1.0)},
    ]
    predictions, truth = tables(cases)
    summary = score(predictions=predictions, truth=truth, output=tmp_path, threads=2)
    table = pd.read_parquet(tmp_path / "cases.parquet")
    assert table["dice"].tolist() == [0.8, 0, 0, 1, 1]
    assert table["hd95"].tolist() == pytest.approx(
        [
            np.percentile([0] * 6 + [0.4, 0.8, 1.2], 95),
            np.hypot(7 * 0.4, 0.2),  # nothing was found: the image's diagonal
            np.hypot(1, 0.5),  # from the frame's corners to the pixels inside
            0,
            0,  # nothing there, nothing found
        ]
    )
    assert table[["tp", "fp", "fn", "tn"]].sum(axis=1).tolist() == [9, 7, 48, 48, 0]
    assert summary["settings"]["distance_unit"] == "mm"
    assert summary["n_patients"] == 1
    assert summary["dice_patient_mean_low"] is None
    json.dumps(summary, allow_nan=False)


def test_near_ties_are_counted_among_the_leads_that_are_known(tables, vessel_cases, tmp_path):
    predictions, truth = tables(vessel_cases)
    predictions["lead"] = [5e-5, 1e-4, None, None, 0.3, 0.0]
    summary = score(predictions=predictions, truth=truth, output=tmp_path)
    assert summary["near_ties"] == {"n": 2, "of": 4, "below": 1e-4}
    del predictions["lead"]  # of an earlier version
    summary = score(predictions=predictions, truth=truth, output=tmp_path)
    assert summary["near_ties"] == {"n": 0, "of": 0, "below": 1e-4}
