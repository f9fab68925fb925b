"""A split of a real tree, scored: what the tree says of an image reaches its scores."""

import contextlib
import io
import json
import subprocess

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from stages import score_split
from typer.testing import CliRunner

from refvessel import rle
from refvessel.cli import app
from refvessel.dataset.tree.expressions import read_expressions
from refvessel.dataset.tree.layout import IMAGES, INSTANCES, REFS
from refvessel.dataset.tree.writing import tree_writer
from refvessel.errors import UserError
from refvessel.metrics.surface import surface_scores

TRUTH, PREDICTION, IGNORED = (np.zeros((20, 30), bool) for _ in range(3))
TRUTH[5:10], PREDICTION[5:10, 3:], IGNORED[:, :10] = True, True, True


@pytest.fixture
def tree(tmp_path):
    """Two images of two patients, one with an ignore mask, both with a spacing; a vessel each and no catheter."""
    root = tmp_path / "tree"
    with tree_writer(root, ["blood vessel", "catheter"]) as writer:
        for name in ("a", "b"):
            writer.add(
                file_name=f"{name}.png",
                size=(30, 20),
                patient=f"P{name}",
                split="test",
                truths={
                    "blood vessel": [rle.encode(TRUTH)],
                    "catheter": [rle.empty(20, 30)],
                },
                ignore=rle.encode(IGNORED) if name == "a" else None,
                spacing=(0.5, 0.25),
            )
    (root / IMAGES).mkdir(parents=True)
    for name in ("a", "b"):
        Image.new("L", (30, 20)).save(root / IMAGES / f"{name}.png")
    return root


@pytest.fixture
def predictions(tree, tmp_path):
    """The same mask for every expression."""
    mask = rle.encode(PREDICTION)
    rows = [
        {
            "image_id": each.image_id,
            "ref_id": each.ref_id,
            "sent_id": each.sent_id,
            "phrase": each.phrase,
            "prompt": "<image>\n Please segment it in this image.",
            "answer": "Sure, [SEG].",
            "num_seg": 1,
            "status": "ok",
            "error": None,
            "mask": json.dumps(mask),
            "masks": json.dumps([mask]),
            "score": 0.75,
            "seconds": 0.1,
        }
        for each in read_expressions(tree, "test")
    ]
    table = pa.Table.from_pandas(pd.DataFrame(rows), preserve_index=False)
    path = tmp_path / "predictions.parquet"
    pq.write_table(table.replace_schema_metadata({"refvessel": "{}"}), path)
    return path


def test_ignore_masks_and_spacings_of_the_tree_are_used(tree, predictions, tmp_path):
    output = tmp_path / "scores"
    summary = score_split(
        predictions=predictions, dataset=tree, split="test", output=output, bootstrap_draws=100
    )
    cases = pd.read_parquet(output / "cases.parquet").set_index(["image_id", "phrase"])
    assert summary["settings"]["distance_unit"] == "mm"
    assert cases.loc[("a", "blood vessel"), "fn"] == 0  # the missing columns are ignored there
    assert cases.loc[("b", "blood vessel"), "fn"] == 15
    expected = surface_scores(PREDICTION, TRUTH, spacing=(0.5, 0.25), tolerance=1)
    assert cases.loc[("b", "blood vessel"), "hd95"] == expected["hd95"]
    assert cases["row_spacing"].tolist() == [0.5] * 4


def test_refs_are_parsed_once_per_scoring(tree, predictions, tmp_path, monkeypatch):
    read = []
    run = subprocess.run
    monkeypatch.setattr(
        subprocess, "run", lambda command, **how: (read.append(command), run(command, **how))[1]
    )
    output = tmp_path / "scores"
    score_split(predictions=predictions, dataset=tree, split="test", output=output, bootstrap_draws=100)
    assert [str(tree / REFS) in command for command in read] == [True]


def test_coco_results_name_the_images_and_categories_of_instances_json(tree, predictions, tmp_path):
    output = tmp_path / "scores"
    score_split(predictions=predictions, dataset=tree, split="test", output=output, bootstrap_draws=100)
    results = json.loads((output / "coco_results.json").read_text("utf-8"))
    assert [(each["image_id"], each["category_id"]) for each in results] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert results[0]["segmentation"] == rle.encode(PREDICTION)
    assert results[0]["score"] == 0.75


def test_every_file_name_of_the_coco_truth_is_an_image_of_the_tree(tree, predictions, tmp_path):
    """As FiftyOne looks them up; one is a JPEG, and in a tree of others folders lie below the image folder."""
    folder = tree / IMAGES
    Image.open(folder / "a.png").save(folder / "a.jpg")
    (folder / "a.png").unlink()
    (folder / "below").mkdir()
    (folder / "b.png").rename(folder / "below/b.png")
    instances = tree / INSTANCES
    text = instances.read_text("utf-8").replace('"a.png"', '"a.jpg"').replace('"b.png"', '"below/b.png"')
    instances.write_text(text, "utf-8")
    output = tmp_path / "scores"
    score_split(predictions=predictions, dataset=tree, split="test", output=output, bootstrap_draws=100)
    truth = json.loads((tmp_path / "scores/coco_truth.json").read_text("utf-8"))
    names = [image["file_name"] for image in truth["images"]]
    assert names == ["a.jpg", "below/b.png"]
    assert all((folder / name).is_file() for name in names)


def test_cocos_own_tools_score_the_files_beside_the_scores(tree, predictions, tmp_path):
    """Two vessels found with an IoU of 27/30, which nine of COCO's ten thresholds accept, and no catheter."""
    output = tmp_path / "scores"
    score_split(predictions=predictions, dataset=tree, split="test", output=output, bootstrap_draws=100)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(output / "coco_truth.json"))
        evaluated = COCOeval(truth, truth.loadRes(str(output / "coco_results.json")), "segm")
        evaluated.evaluate()
        evaluated.accumulate()
        evaluated.summarize()
    assert evaluated.stats[0] == pytest.approx(0.9)
    assert {each["name"] for each in truth.loadCats(truth.getCatIds())} == {"blood vessel", "catheter"}


def test_predictions_of_another_tree_are_refused_before_anything_is_written(tree, predictions, tmp_path):
    table = pq.read_table(predictions)
    others = pa.array([number + 90 for number in table["ref_id"].to_pylist()])
    pq.write_table(table.set_column(table.column_names.index("ref_id"), "ref_id", others), predictions)
    with pytest.raises(UserError, match="sent_id 1 has ref_id 1 in the truth but 91 in the predictions"):
        score_split(predictions=predictions, dataset=tree, split="test", output=tmp_path / "scores")
    with pytest.raises(UserError, match="has no split 'val'; choose one of: test"):
        score_split(predictions=predictions, dataset=tree, split="val", output=tmp_path / "scores")
    assert not (tmp_path / "scores").exists()


def test_the_commands_score_logits_of_several_shards_and_compare_models(tree, predictions, tmp_path):
    def run(*arguments) -> None:
        ran = CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)
        assert ran.exit_code == 0, ran.output

    random = np.random.default_rng(0)
    shards = [tmp_path / f"{number}.logits.npz" for number in (1, 2)]
    for shard, sent_ids in zip(shards, ((1, 2), (3, 4)), strict=True):
        logits = {str(sent_id): random.normal(size=(1, 8, 8)).astype(np.float16) for sent_id in sent_ids}
        np.savez(shard, **logits)
    given = ["--predictions", predictions, "--dataset", tree, "--split", "test"]
    for name in ("one", "two"):
        run("score", *given, "--output", tmp_path / name, "--logits", shards[0], "--logits", shards[1])
    cases = pd.read_parquet(tmp_path / "one/cases.parquet")
    assert cases["auc"].notna().tolist() == [True, False, True, False]  # no catheter, no AUC
    assert len(pd.read_csv(tmp_path / "one/thresholds.csv")) == 101
    tables = [f"{name}={tmp_path / name / 'cases.parquet'}" for name in ("one", "two")]
    run("compare", *tables, "--output", tmp_path / "compared", "--score", "auc", "--score", "ece")
    rows = json.loads((tmp_path / "compared/comparison.json").read_text("utf-8"))["tests"]
    assert [(row["score"], row["difference"], row["n_expressions"]) for row in rows] == [
        ("auc", 0, 2),
        ("ece", 0, 2),
    ]
