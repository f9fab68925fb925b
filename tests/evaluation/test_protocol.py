"""The same predictions by our reading of a tree and by the official evaluator's: both stand in the summary."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from stages import score_split
from typer.testing import CliRunner

from refvessel import rle
from refvessel.cli import app
from refvessel.dataset.tree.expressions import read_expressions
from refvessel.dataset.tree.layout import IMAGES, INSTANCES
from refvessel.dataset.tree.writing import tree_writer
from refvessel.errors import UserError
from refvessel.evaluation.official_referring import score_referring
from refvessel.settings.scores_section import Protocol

SIZE = (40, 30)  # width, height
SPLITS = {"a": "testA", "b": "testA", "c": "testAB", "d": "testB"}
IGNORED = np.zeros(SIZE[::-1], bool)
IGNORED[:, :12] = True
CROSSING = [[2, 12, 38, 12, 38, 18, 2, 18], [17, 2, 23, 2, 23, 28, 17, 28]]  # two bars, as polygons


def bar(row):
    mask = np.zeros(SIZE[::-1], bool)
    mask[row : row + 6, 4:36] = True
    return mask


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Four images: one with a field of view, one whose truth is of two bars that cross, in three splits."""
    root = tmp_path_factory.mktemp("protocol") / "tree"
    with tree_writer(root, ["blood vessel"]) as writer:
        for number, (name, split) in enumerate(SPLITS.items()):
            writer.add(
                file_name=f"{name}.png",
                size=SIZE,
                patient=f"P{name}",
                split=split,
                truths={"blood vessel": [rle.encode(bar(8 + 2 * number))]},
                ignore=rle.encode(IGNORED) if name == "a" else None,
            )
    (root / IMAGES).mkdir(parents=True)
    for name in SPLITS:
        Image.new("L", SIZE).save(root / IMAGES / f"{name}.png")
    instances = json.loads((root / INSTANCES).read_text())
    instances["annotations"][1]["segmentation"] = CROSSING
    (root / INSTANCES).write_text(json.dumps(instances))
    return root


@pytest.fixture(scope="module")
def answers(tree):
    """The answers to all expressions: each truth moved down by two pixels."""
    asked = read_expressions(tree, "test")
    return [(each, rle.encode(np.roll(rle.decode(each.truth), 2, axis=0))) for each in asked]


@pytest.fixture
def table_of(answers, tmp_path):
    """A function: splits -> the gathered predictions of these."""

    def table_of(*splits):
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
            for each, mask in answers
            if SPLITS[each.image_id] in splits
        ]
        table = pa.Table.from_pandas(pd.DataFrame(rows), preserve_index=False)
        path = tmp_path / "predictions.parquet"
        pq.write_table(table.replace_schema_metadata({"refvessel": "{}"}), path)
        return path

    return table_of


@pytest.fixture
def official(tree, answers, tmp_path):
    """What the official evaluator gives for testA."""
    predictions = [
        {
            "ref_id": each.ref_id,
            "sent_id": each.sent_id,
            "answer": "Sure, [SEG].",
            "masks": [mask],
        }
        for each, mask in answers
    ]
    path = tmp_path / "predictions.json"
    path.write_text(json.dumps(predictions))
    return score_referring(
        benchmark="refcoco", root=tree, split="testA", predictions=path, output=tmp_path / "official.json"
    )["float64"]


def test_by_the_official_protocol_the_summary_has_the_official_numbers(tree, table_of, official, tmp_path):
    summary = score_split(
        predictions=table_of("testA", "testAB", "testB"),
        dataset=tree,
        split="testA",
        output=tmp_path / "scores",
        protocol=Protocol.OFFICIAL,
        bootstrap_draws=100,
    )
    assert summary["settings"]["protocol"] == "official"
    assert summary["n_expressions"] == 3  # testAB holds an A
    for ours, theirs in (("ciou", "cIoU"), ("giou", "gIoU")):
        assert summary[ours] == summary["official"][ours] == pytest.approx(official[theirs], abs=1e-12)


def test_both_values_stand_beside_every_cause(tree, table_of, official, tmp_path):
    own = score_split(
        predictions=table_of("testA"),
        dataset=tree,
        split="testA",
        output=tmp_path / "own",
        bootstrap_draws=100,
    )
    theirs = score_split(
        predictions=table_of("testA", "testAB"),
        dataset=tree,
        split="testA",
        output=tmp_path / "official",
        protocol=Protocol.OFFICIAL,
        bootstrap_draws=100,
    )
    for summary in (own, theirs):
        ours = {name: own[name] for name in ("ciou", "giou")}
        assert summary["official"]["ours"] == pytest.approx(ours, abs=1e-12)
        ignored, parts, split = summary["official"]["differences"]
        assert [each["cause"] for each in (ignored, parts, split)] == [
            "ignored_pixels",
            "overlapping_parts",
            "split",
        ]
        # Each cause begins where the one before has led.
        assert ignored["without"] == pytest.approx(ours, abs=1e-12)
        assert ignored["with_it"] == parts["without"]
        assert parts["with_it"] == split["without"]
        assert parts["with_it"]["ciou"] < parts["without"]["ciou"]
    assert own["official"]["ciou"] is None  # the predictions of testAB are not among these
    assert own["official"]["differences"][2]["with_it"] is None
    assert theirs["official"]["differences"][2]["with_it"] == {
        "ciou": pytest.approx(official["cIoU"], abs=1e-12),
        "giou": pytest.approx(official["gIoU"], abs=1e-12),
    }


def test_the_official_protocol_needs_what_the_official_evaluator_takes(tree, table_of, tmp_path):
    arguments = {"dataset": tree, "output": tmp_path / "scores", "bootstrap_draws": 100}
    with pytest.raises(UserError, match="1 expressions are without a prediction"):
        score_split(predictions=table_of("testA"), split="testA", protocol=Protocol.OFFICIAL, **arguments)


def test_the_command_takes_the_protocol(tree, table_of, tmp_path):
    words = ["score", "--predictions", table_of("testA", "testAB"), "--dataset", tree, "--split", "testA"]
    words += ["--output", tmp_path / "scores", "--protocol", "official", "--bootstrap-draws", 100]
    ran = CliRunner().invoke(app, list(map(str, words)))
    assert ran.exit_code == 0, ran.output
    assert json.loads((tmp_path / "scores/summary.json").read_text())["n_expressions"] == 3
