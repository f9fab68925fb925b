"""A split that is scored in parts, from a tree left on the disk, has the files of one that is scored at once."""

import json
import random

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from stages import score_split

from refvessel import rle
from refvessel.answer_status import Status
from refvessel.dataset.regions.polygons import rasterise
from refvessel.dataset.tree import stored_entries
from refvessel.dataset.tree.expressions import read_expressions, read_tree
from refvessel.dataset.tree.layout import IMAGES, INSTANCES, REFS
from refvessel.dataset.tree.refs import read_refs, write_refs
from refvessel.dataset.tree.split_blocks import SplitBlocks
from refvessel.dataset.tree.writing import tree_writer
from refvessel.errors import UserError
from refvessel.evaluation import parts, split_scoring
from refvessel.predictions.prediction import Prediction
from refvessel.predictions.table import write_predictions
from refvessel.predictions.word_cases import word_cases
from refvessel.settings.words_section import Words

SIDE, PHRASES = 24, ("vessel", "wire")
FILES = (
    "cases.parquet",
    "breaks.parquet",
    "summary.json",
    "words.json",
    "coco_results.json",
    "coco_truth.json",
)
WORDS = Words(images=3, absent=("bone",), paraphrases={}, translations={})


def polygon(number):
    return np.array([[2, 2 + number], [20, 3 + number], [21, 7 + number], [2, 6 + number]], float)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Seven images of two truths each, of polygons and not; one truth is of two polygons that overlap."""
    root = tmp_path_factory.mktemp("parts") / "tree"
    (root / IMAGES).mkdir(parents=True)
    with tree_writer(root, PHRASES) as writer:
        for number in range(7):
            name = f"p{number % 3}_{number}.png"
            Image.new("L", (SIDE, SIDE), 40).save(root / IMAGES / name)
            drawn = rle.encode(rasterise_mask(polygon(number)))
            bar = np.zeros((SIDE, SIDE), bool)
            bar[:, 4 + number : 7 + number] = number != 5
            writer.add(
                file_name=name,
                size=(SIDE, SIDE),
                patient=f"p{number % 3}",
                split="test",
                truths={"vessel": [drawn], "wire": [rle.encode(bar)]},
                outlines={"vessel": [[polygon(number)]]},
            )
    instances = json.loads((root / INSTANCES).read_text())
    crossing = [[2, 12, 22, 12, 22, 16, 2, 16], [8, 2, 12, 2, 12, 22, 8, 22]]
    instances["annotations"][5]["segmentation"] = crossing
    instances["images"][0]["patient"] = "Größe"
    (root / INSTANCES).write_text(json.dumps(instances, ensure_ascii=False), "utf-8")
    return root


def rasterise_mask(corners):
    return rle.decode(rasterise(corners, SIDE, SIDE)).astype(bool)


def answer(each, mask, status=Status.OK):
    return Prediction(
        image_id=each.image_id,
        ref_id=each.ref_id,
        sent_id=each.sent_id,
        phrase=each.phrase,
        prompt=each.phrase,
        answer="[SEG]",
        num_seg=int(status == Status.OK),
        status=status,
        error=None,
        mask=mask,
        masks=[mask],
        score=0.5 + each.sent_id / 100,
        seconds=0.1,
        lead=each.sent_id / 1e5,
    )


@pytest.fixture(scope="module")
def predictions(tree, tmp_path_factory):
    path = tmp_path_factory.mktemp("predictions") / "predictions.parquet"
    records = []
    for each in read_expressions(tree, "test"):
        moved = rle.encode(np.roll(rle.decode(each.truth), each.sent_id % 3, axis=0))
        failed = each.sent_id == 4
        mask = rle.empty(SIDE, SIDE) if failed else moved
        records.append(answer(each, mask, Status.NO_SEG if failed else Status.OK))
    write_predictions(path, records, {"run": None})
    return path


@pytest.fixture(scope="module")
def besides(tree, tmp_path_factory):
    path = tmp_path_factory.mktemp("besides") / "1-of-1.jsonl"
    cases = word_cases(read_expressions(tree, "test"), WORDS)
    path.write_text("".join(answer(case.asked, case.asked.truth).to_line() for case in cases))
    return path


@pytest.fixture
def in_parts(monkeypatch):
    for module in (parts, split_scoring):
        monkeypatch.setattr(module, "MOST_AT_ONCE", 5)
    monkeypatch.setattr(stored_entries, "_LARGE", 0)


@pytest.fixture(scope="module")
def scored(tree, predictions, besides):
    def of(output):
        return score_split(
            predictions=predictions,
            dataset=tree,
            split="test",
            output=output,
            bootstrap_draws=100,
            ceiling_sample=3,
            words=WORDS,
            words_answers=[besides],
        )

    return of


@pytest.fixture(scope="module")
def at_once(scored, tmp_path_factory):
    output = tmp_path_factory.mktemp("at_once")
    return scored(output), output


def test_both_ways_write_the_same(at_once, scored, in_parts, tmp_path):
    summary, whole = at_once
    again = scored(tmp_path)
    assert pq.ParquetFile(tmp_path / "cases.parquet").num_row_groups == 4  # 4, 4, 4 and 2 expressions
    for name in FILES:
        one, other = ((folder / name) for folder in (whole, tmp_path))
        if name.endswith(".parquet"):
            assert pq.read_table(one).equals(pq.read_table(other)), name
        elif name == "summary.json":
            first, second = (json.loads(path.read_text("utf-8")) for path in (one, other))
            for each in (first, second):  # the SHA-256 of a table in row groups is another
                del each["provenance"]["cases"], each["provenance"]["breaks"]
            assert first == second
            assert len(first["metric_per_case"]) == first["n_expressions"] == 14
            assert {**summary, "provenance": 0} == {**again, "provenance": 0}
        else:
            assert one.read_bytes() == other.read_bytes(), name
    assert summary["official"]["differences"][0]["cause"] == "overlapping_parts"


def test_what_is_missing_is_named_before_anything_is_scored(tree, predictions, in_parts, tmp_path):
    table = pq.read_table(predictions)
    pq.write_table(table.slice(1), tmp_path / "fewer.parquet")
    with pytest.raises(UserError, match=r"1 expressions are without a prediction \(sent_id 1\)"):
        score_split(
            predictions=tmp_path / "fewer.parquet", dataset=tree, split="test", output=tmp_path / "scores"
        )
    assert not (tmp_path / "scores").exists()


def test_a_tree_on_the_disk_reads_as_one_in_memory(tree, monkeypatch):
    known = read_tree(tree)
    monkeypatch.setattr(stored_entries, "_LARGE", 0)
    stored = read_tree(tree)
    assert not isinstance(stored.annotations, dict)
    assert stored.expressions("test") == known.expressions("test")
    assert stored.sentences("test") == known.sentences("test")
    assert dict(stored.annotations) == known.annotations
    assert stored.coco_ids() == known.coco_ids()
    assert stored.category_names() == known.category_names()


def test_an_image_is_never_divided_even_where_expressions_interleave(tree, tmp_path):
    """Sentences are numbered anew at random: blocks grow until whole images are in them."""
    refs = read_refs(tree / REFS)
    numbers = random.Random(3).sample(range(len(refs)), len(refs))
    numbers[:4] = sorted(numbers[:4])
    for ref, number in zip(refs, numbers, strict=True):
        ref["sentences"][0]["sent_id"] = number
    root = tmp_path / "tree"
    (root / INSTANCES).parent.mkdir(parents=True)
    (root / "glamm_data").symlink_to(tree / "glamm_data")
    (root / INSTANCES).write_bytes((tree / INSTANCES).read_bytes())
    write_refs(root / REFS, refs)
    blocks = SplitBlocks.of(read_tree(root), "test")
    rows = list(blocks.rows(2))
    found = [blocks.expressions(each) for each in rows]
    assert [each for some in found for each in some] == read_expressions(root, "test")
    images = [{each.image_id for each in some} for some in found]
    assert sum(map(len, images)) == 7
    assert [len(some) for some in found] == [each.stop - each.start for each in rows]
