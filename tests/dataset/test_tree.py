"""Trees made by others: every form that COCO and RefCOCO allow."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from refvessel import rle
from refvessel.dataset.tree.expressions import read_expressions
from refvessel.dataset.tree.layout import IMAGES, INSTANCES, REFS
from refvessel.dataset.tree.loader import ReferringDataset
from refvessel.errors import UserError
from refvessel.settings.inference_section import Inference

SQUARE = [5, 5, 15, 5, 15, 15, 5, 15]
MASK = np.zeros((30, 40), np.uint8)
MASK[5:15, 5:15] = 1


class Tree:
    """An official tree of one image, whose parts a test replaces before writing it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.image: dict[str, Any] = {"id": 7, "file_name": "COCO_7.jpg", "width": 40, "height": 30}
        self.annotations = [{"id": 11, "image_id": 7, "category_id": 1, "segmentation": [SQUARE]}]
        self.refs = [self.ref(split="val")]

    @staticmethod
    def ref(number: int = 0, **fields: Any) -> dict[str, Any]:
        sentence = {"sent_id": 100 + number, "sent": "left artery", "raw": "Left artery", "tokens": []}
        return {
            "ref_id": number,
            "ann_id": 11,
            "category_id": 1,
            "image_id": 7,
            "split": "val",
            "file_name": "COCO_7_11.jpg",
            "sent_ids": [100 + number],
            "sentences": [sentence],
        } | fields

    def write(self) -> Path:
        (self.root / IMAGES).mkdir(parents=True, exist_ok=True)
        (self.root / INSTANCES).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((30, 40), 9, np.uint8)).save(self.root / IMAGES / "COCO_7.jpg")
        instances = {"images": [self.image], "annotations": self.annotations, "categories": []}
        (self.root / INSTANCES).write_text(json.dumps(instances))
        (self.root / REFS).write_bytes(pickle.dumps(self.refs, 2))
        return self.root


@pytest.fixture
def tree(tmp_path) -> Tree:
    return Tree(tmp_path / "tree")


def test_an_expression_is_read_from_a_tree_that_knows_no_patients(tree):
    (expression,) = read_expressions(tree.write(), "val")
    assert (expression.image_id, expression.patient) == ("COCO_7", "COCO_7")
    assert (expression.ref_id, expression.sent_id, expression.phrase) == (0, 100, "left artery")
    assert (expression.height, expression.width) == (30, 40)
    assert expression.image_path == tree.root / IMAGES / "COCO_7.jpg"


@pytest.mark.parametrize(
    "segmentation",
    [
        [SQUARE],
        [SQUARE, [5, 5, 10, 5, 10, 10, 5, 10]],
        [rle.encode(MASK)],
        [{"size": [30, 40], "counts": [155, *[10, 20] * 9, 10, 765]}],
    ],
    ids=["polygon", "overlapping polygons", "compressed", "plain counts"],
)
def test_every_form_of_segmentation_is_the_same_truth(tree, segmentation):
    tree.annotations[0]["segmentation"] = segmentation
    (expression,) = read_expressions(tree.write(), "val")
    assert np.array_equal(rle.decode(expression.truth), MASK)


def test_several_annotations_of_a_ref_are_united(tree):
    tree.annotations.append({"id": 12, "segmentation": [[20, 5, 30, 5, 30, 15, 20, 15]]})
    tree.refs = [tree.ref(ann_id=[11, 12])]
    (expression,) = read_expressions(tree.write(), "val")
    assert rle.area(expression.truth) == 200


def test_the_ignore_mask_and_the_spacing_of_an_image_are_those_of_its_expressions(tree):
    (expression,) = read_expressions(tree.write(), "val")
    assert (expression.ignore_mask, expression.spacing) == (None, None)
    tree.image |= {"ignore": rle.encode(MASK), "spacing": [0.3, 0.25]}
    (expression,) = read_expressions(tree.write(), "val")
    assert np.array_equal(rle.decode(expression.ignore_mask), MASK)
    assert expression.spacing == (0.3, 0.25)


def test_every_sentence_is_an_expression_in_the_order_of_sent_id(tree):
    sentences = [{"sent_id": i, "sent": f"phrase {i}"} for i in (5, 3)]
    tree.refs = [tree.ref(sentences=sentences), tree.ref(1, sentences=[{"sent_id": 4, "sent": "phrase 4"}])]
    expressions = read_expressions(tree.write(), "val")
    assert [(e.sent_id, e.ref_id, e.phrase) for e in expressions] == [
        (3, 0, "phrase 3"),
        (4, 1, "phrase 4"),
        (5, 0, "phrase 5"),
    ]


@pytest.mark.parametrize(
    ("split", "selected"),
    [
        ("train", ["train"]),
        ("val", ["val"]),
        ("test", ["testA", "testB", "testAB", "my_test"]),
        ("testA", ["testA"]),
        ("testC", ["trainC"]),
        ("my_test", ["my_test"]),
    ],
)
def test_splits_are_selected_as_the_official_loader_does(tree, split, selected):
    names = ["train", "val", "testA", "testB", "testAB", "my_test", "trainC"]
    tree.refs = [tree.ref(number, split=name) for number, name in enumerate(names)]
    expressions = read_expressions(tree.write(), split)
    assert [names[expression.ref_id] for expression in expressions] == selected


def test_letters_select_where_no_split_has_that_very_name(tree):
    tree.refs = [tree.ref(number, split=name) for number, name in enumerate(["testAB", "testBC", "val"])]
    assert [e.ref_id for e in read_expressions(tree.write(), "testB")] == [0, 1]


def test_an_absent_split_is_told_with_those_that_exist(tree):
    with pytest.raises(UserError, match=r"no split 'train'; choose one of: val\."):
        read_expressions(tree.write(), "train")


def _bad_trees():
    def refs(**fields):
        return lambda tree: tree.refs[0].update(fields)

    def image(**fields):
        return lambda tree: tree.image.update(fields)

    def segmentation(value):
        return lambda tree: tree.annotations[0].update(segmentation=value)

    yield "leads out of", image(file_name="../../../secret.jpg")
    yield "leads out of", image(file_name="/etc/hostname")
    yield "does not exist", image(file_name="COCO_8.jpg")
    yield "'width' must be a whole number", image(width=None)
    yield "positive", image(height=0)
    yield "'patient' must be text", image(patient=3)
    yield "spacing must be two positive numbers", image(spacing=[0.3])
    yield "spacing must be two positive numbers", image(spacing=[0.3, 0])
    yield "'ignore' must be a list", image(ignore=3)
    yield "does not cover", image(ignore={"size": [30, 40], "counts": "1"})
    yield "has no image 8", refs(image_id=8)
    yield "lacks annotation 12", refs(ann_id=12)
    yield r"lacks annotation \[\]", refs(ann_id=[[]])
    yield "'ann_id' must be a whole number", refs(ann_id="11")
    yield "'split' must be text", refs(split=None)
    yield "'sent' is missing", refs(sentences=[{"sent_id": 1}])
    yield "sentence without text", refs(sentences=[{"sent_id": 1, "sent": " "}])
    yield "sent_id 1 twice", refs(sentences=[{"sent_id": 1, "sent": "a"}, {"sent_id": 1, "sent": "b"}])
    yield "fewer than three points", segmentation([[1, 2, 3, 4]])
    yield r"size \[40, 30\]|\[40, 30\]", segmentation([rle.empty(40, 30)])
    yield "does not cover", segmentation([{"size": [30, 40], "counts": "1"}])
    yield "must be a list", segmentation(None)
    yield "lies outside the image of 40 x 30", segmentation([[90, 90, 99, 90, 99, 99]])
    yield "has the id 11 twice in its annotations", lambda tree: tree.annotations.append(tree.annotations[0])


@pytest.mark.parametrize(("reason", "spoil"), list(_bad_trees()))
def test_a_damaged_tree_is_refused_with_the_place(tree, reason, spoil):
    spoil(tree)
    with pytest.raises(UserError, match=reason) as caught:
        read_expressions(tree.write(), "val")
    assert str(tree.root) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_images_of_one_stem_are_refused(tree):
    tree.write()
    Image.new("L", (40, 30)).save(tree.root / IMAGES / "COCO_7.png")
    instances = json.loads((tree.root / INSTANCES).read_text())
    instances["images"].append({"id": 8, "file_name": "COCO_7.png", "width": 40, "height": 30})
    (tree.root / INSTANCES).write_text(json.dumps(instances))
    (tree.root / REFS).write_bytes(pickle.dumps([tree.ref(), tree.ref(1, image_id=8)], 2))
    with pytest.raises(UserError, match="two images called 'COCO_7'"):
        read_expressions(tree.root, "val")


def test_the_loader_yields_an_image_with_all_its_expressions(tree):
    tree.refs = [tree.ref(0), tree.ref(1)]
    dataset = ReferringDataset(tree.write(), "val", Inference().question)
    assert len(dataset) == 1
    item = dataset[0]
    assert sorted(item) == ["gt_masks", "image", "image_path", "img_id", "text"]
    assert (item["image"].mode, item["image"].size) == ("RGB", (40, 30))
    assert item["text"] == ["<image>\n Please segment left artery in this image."] * 2
    assert item["gt_masks"].dtype == np.uint8
    assert np.array_equal(item["gt_masks"], np.stack([MASK, MASK]))
    assert item["img_id"] == "0"
    assert item["image_path"] == str(tree.root / IMAGES / "COCO_7.jpg")


def test_the_loader_refuses_an_image_of_another_size(tree):
    dataset = ReferringDataset(tree.write(), "val", Inference().question)
    Image.new("L", (64, 64)).save(tree.root / IMAGES / "COCO_7.jpg")
    with pytest.raises(UserError, match=r"COCO_7\.jpg is 64 x 64 pixels but instances\.json says 40 x 30"):
        dataset[0]


def test_the_loader_refuses_an_image_that_does_not_open(tree):
    dataset = ReferringDataset(tree.write(), "val", Inference().question)
    (tree.root / IMAGES / "COCO_7.jpg").write_bytes(b"\xff\xd8 no jpeg")
    with pytest.raises(UserError, match=r"COCO_7\.jpg does not open"):
        dataset[0]


@pytest.mark.parametrize("question", ["Please segment {phrase}.", "<image> Please segment it."])
def test_a_question_needs_image_and_phrase(tree, question):
    with pytest.raises(UserError, match="has no"):
        ReferringDataset(tree.write(), "val", question)


def test_a_phrase_may_hold_braces(tree):
    tree.refs[0]["sentences"][0]["sent"] = "{phrase} {0}"
    assert ReferringDataset(tree.write(), "val", "<image>{phrase}!")[0]["text"] == ["<image>{phrase} {0}!"]
