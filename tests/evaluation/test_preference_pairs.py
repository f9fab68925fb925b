"""Pairs for preference training: of a training split alone, the better mask chosen, by signed margins."""

import json

import numpy as np
import pytest
from PIL import Image
from stages import export_pairs
from typer.testing import CliRunner

from refvessel import rle
from refvessel.answer_status import Status
from refvessel.cli import app
from refvessel.dataset.tree.expressions import read_expressions
from refvessel.dataset.tree.layout import IMAGES
from refvessel.dataset.tree.writing import tree_writer
from refvessel.errors import UserError
from refvessel.predictions.prediction import Prediction
from refvessel.predictions.table import write_predictions

TRUTH = np.zeros((20, 30), bool)
TRUTH[5:9] = True
GOOD, BROKEN = TRUTH.copy(), TRUTH.copy()
GOOD[5, :10] = False
BROKEN[:, 12:18] = False  # two components for one
EMPTY = np.zeros_like(TRUTH)


def write_tree(root, frames):
    """`frames`: (name, patient, split) of each; a vessel and no catheter on each."""
    with tree_writer(root, ["blood vessel", "catheter"]) as writer:
        for name, patient, split in frames:
            writer.add(
                file_name=f"{name}.png",
                size=(30, 20),
                patient=patient,
                split=split,
                truths={"blood vessel": [rle.encode(TRUTH)], "catheter": [rle.encode(EMPTY)]},
            )
    (root / IMAGES).mkdir(parents=True)
    for name, _, _ in frames:
        Image.new("L", (30, 20)).save(root / IMAGES / f"{name}.png")
    return root


@pytest.fixture
def tree(tmp_path):
    frames = [("a", "P1", "train"), ("b", "P2", "train"), ("c", "P3", "test"), ("d", "P4", "val")]
    return write_tree(tmp_path / "tree", frames)


@pytest.fixture
def table(tree, tmp_path):
    """A function: name and (image, phrase) -> mask, None for a failed answer; else empty -> its table."""

    def write(name, masks, split="train"):
        records = []
        for each in read_expressions(tree, split):
            mask = masks.get((each.image_id, each.phrase), EMPTY)
            failed = mask is None
            encoded = rle.encode(EMPTY if failed else mask)
            records.append(
                Prediction(
                    image_id=each.image_id,
                    ref_id=each.ref_id,
                    sent_id=each.sent_id,
                    phrase=each.phrase,
                    prompt=f"<image>\n Please segment {each.phrase} in this image.",
                    answer="" if failed else "Sure, [SEG].",
                    num_seg=int(not failed),
                    status=Status.FAILED if failed else Status.OK,
                    error="out of memory" if failed else None,
                    mask=encoded,
                    masks=[] if failed else [encoded],
                    score=None,
                    seconds=0.1,
                )
            )
        write_predictions(tmp_path / f"{name}.parquet", records, {})
        return tmp_path / f"{name}.parquet"

    return write


def exported(tmp_path, **arguments):
    summary = export_pairs(**({"split": "train", "output": tmp_path / "pairs"} | arguments))
    lines = (tmp_path / "pairs/pairs.jsonl").read_text("utf-8").splitlines()
    assert json.loads((tmp_path / "pairs/pairs.json").read_text("utf-8")) == summary
    return [json.loads(line) for line in lines], summary


def test_the_better_mask_is_chosen_whoever_made_it(tree, table, tmp_path):
    vessel = "blood vessel"
    first = table("first", {("a", vessel): GOOD, ("b", vessel): BROKEN})
    second = table("second", {("a", vessel): BROKEN, ("b", vessel): GOOD, ("b", "catheter"): GOOD})
    pairs, summary = exported(tmp_path, dataset=tree, predictions={"first": first, "second": second})
    told = [
        (each["image"], each["phrase"], each["chosen"]["from"], each["rejected"]["from"]) for each in pairs
    ]
    assert told == [
        ("a.png", vessel, "first", "second"),
        ("b.png", vessel, "second", "first"),
        ("b.png", "catheter", "first", "second"),
    ]
    pair = pairs[0]
    chosen, rejected = (rle.decode(pair[name]["mask"]) for name in ("chosen", "rejected"))
    assert (chosen == GOOD).all()
    assert (rejected == BROKEN).all()
    dice = [2 * (mask & TRUTH).sum() / (mask.sum() + TRUTH.sum()) for mask in (GOOD, BROKEN)]
    assert pair["chosen"]["dice"] == pytest.approx(dice[0])
    assert pair["margin"]["dice"] == pytest.approx(dice[0] - dice[1])
    assert pair["margin"]["cldice"] == pytest.approx(pair["chosen"]["cldice"] - pair["rejected"]["cldice"])
    assert (pair["margin"]["betti0_error"], pair["margin"]["betti1_error"]) == (1, 0)
    assert pair["margin"]["betti_error"] == 1
    assert pair["prompt"] == "<image>\n Please segment blood vessel in this image."
    assert pair["chosen"]["answer"] == "Sure, [SEG]."
    assert (summary["n_pairs"], summary["n_expressions_without_pair"]) == (3, 1)


def test_the_truth_may_be_chosen_over_one_model_and_failures_are_left_out(tree, table, tmp_path):
    only = table("only", {("a", "blood vessel"): BROKEN, ("b", "blood vessel"): None})
    pairs, summary = exported(tmp_path, dataset=tree, predictions={"only": only}, with_truth=True)
    assert [(each["image_id"], each["chosen"]["from"]) for each in pairs] == [("a", "truth")]
    assert pairs[0]["chosen"]["dice"] == 1
    assert pairs[0]["chosen"]["answer"] is None
    assert pairs[0]["prompt"].startswith("<image>")
    assert summary["n_failed"] == {"only": 1}


def test_of_several_the_best_is_chosen_over_each_that_is_worse_by_the_margin(tree, table, tmp_path):
    masks = {"good": GOOD, "broken": BROKEN, "empty": EMPTY, "same": GOOD}
    tables = {name: table(name, {("a", "blood vessel"): mask}) for name, mask in masks.items()}
    pairs, _ = exported(tmp_path, dataset=tree, predictions=tables)
    assert [(each["chosen"]["from"], each["rejected"]["from"]) for each in pairs] == [
        ("good", "broken"),
        ("good", "empty"),
    ]
    pairs, _ = exported(tmp_path, dataset=tree, predictions=tables, least_margin=0.5)
    assert [each["rejected"]["from"] for each in pairs] == ["empty"]


@pytest.mark.parametrize("split", ["test", "val", "testA", "training"])
def test_other_splits_are_refused_by_name(tree, table, tmp_path, split):
    named = {"first": table("first", {}), "second": table("second", {})}
    with pytest.raises(UserError, match=f"The split '{split}' is not for training"):
        export_pairs(predictions=named, dataset=tree, split=split, output=tmp_path / "pairs")
    assert not (tmp_path / "pairs").exists()


def test_predictions_of_another_split_are_refused(tree, table, tmp_path):
    named = {"first": table("first", {}), "second": table("second", {}, split="test")}
    with pytest.raises(UserError, match="without a prediction"):
        export_pairs(predictions=named, dataset=tree, split="train", output=tmp_path / "pairs")
    assert not (tmp_path / "pairs").exists()


def test_a_patient_who_is_evaluated_on_is_not_trained_on(table, tmp_path):
    leaking = write_tree(tmp_path / "leaking", [("a", "P1", "train"), ("c", "P1", "test")])
    named = {"first": table("first", {}), "second": table("second", {})}
    with pytest.raises(
        UserError, match="1 patients of the split 'train' in another split, too, such as 'P1'"
    ):
        export_pairs(predictions=named, dataset=leaking, split="train", output=tmp_path / "pairs")


@pytest.mark.parametrize(
    ("names", "with_truth", "message"),
    [
        (["first"], False, "One candidate makes no pair"),
        ([], True, "One candidate makes no pair"),
        (["first", "truth"], False, "called 'truth'"),
    ],
)
def test_what_makes_no_pair_is_refused(tree, table, tmp_path, names, with_truth, message):
    named = {name: table(name, {}) for name in names}
    with pytest.raises(UserError, match=message):
        export_pairs(
            predictions=named, dataset=tree, split="train", output=tmp_path / "pairs", with_truth=with_truth
        )


def test_the_command_writes_the_same(tree, table, tmp_path):
    only = table("only", {("a", "blood vessel"): BROKEN, ("b", "blood vessel"): GOOD})
    pairs, _ = exported(tmp_path, dataset=tree, predictions={"only": only}, with_truth=True)
    arguments = [f"only={only}", "--dataset", tree, "--split", "train", "--output", tmp_path / "typed"]
    ran = CliRunner().invoke(app, ["export-pairs", *map(str, arguments), "--with-truth"])
    assert ran.exit_code == 0, ran.output
    assert "2 pairs of 4 expressions, 2 of which have none." in ran.output
    lines = (tmp_path / "typed/pairs.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == pairs
