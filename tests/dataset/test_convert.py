"""Whole conversions: from annotated images to a tree that the official reading understands."""

import hashlib
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refvessel.dataset.tree.expressions import read_expressions
from refvessel.dataset.tree.layout import INSTANCES, REFS
from refvessel.dataset.tree.loader import ReferringDataset
from refvessel.settings.inference_section import Inference

TRIANGLE = [[2, 2], [20, 4], [8, 25]]
SQUARE = [[10, 10], [30, 10], [30, 28], [10, 28]]


def test_overlapping_polygons_of_a_phrase_are_united(source, convert, tmp_path, union, officially_read):
    source.labelme("p1_01.png", [("vessel", TRIANGLE), ("vessel", SQUARE), ("catheter", SQUARE)])
    convert()
    ((phrases),) = officially_read(tmp_path / "tree", "test").values()
    assert np.array_equal(phrases["vessel"], union([TRIANGLE, SQUARE]))
    assert np.array_equal(phrases["catheter"], union([SQUARE]))


def test_labels_of_one_phrase_are_united(source, convert, tmp_path, union, officially_read):
    source.labelme("p1_01.png", [("LAD", TRIANGLE), ("RCA", SQUARE)])
    convert(phrases={"LAD": "blood vessel", "RCA": " blood vessel "})
    (phrases,) = officially_read(tmp_path / "tree", "test").values()
    assert list(phrases) == ["blood vessel"]
    assert np.array_equal(phrases["blood vessel"], union([TRIANGLE, SQUARE]))


def test_polygons_are_scaled_from_the_stated_to_the_real_size(
    source, convert, tmp_path, union, officially_read
):
    large = (np.array(SQUARE) * [80 / 40, 45 / 30]).tolist()
    source.labelme("p1_01.png", [("vessel", large)], imageWidth=80, imageHeight=45)
    source.labelme("p1_02.png", [("vessel", SQUARE)])
    summary = convert()
    for phrases in officially_read(tmp_path / "tree", "test").values():
        assert np.array_equal(phrases["vessel"], union([SQUARE]))
    assert summary["counts"]["images_scaled"] == 1


def test_polygons_over_the_border_are_clipped_and_counted(source, convert, tmp_path, union, officially_read):
    source.labelme("p1_01.png", [("vessel", [[-5, 5], [30, 5], [30, 45]]), ("vessel", TRIANGLE)])
    summary = convert()
    (phrases,) = officially_read(tmp_path / "tree", "test").values()
    assert np.array_equal(phrases["vessel"], union([[[-5, 5], [30, 5], [30, 45]], TRIANGLE]))
    assert summary["counts"]["regions_clipped"] == 1


def test_a_region_without_a_pixel_is_counted_and_no_expression(source, convert):
    source.labelme("p1_01.png", [("vessel", [[5, 5], [5.01, 5], [5, 5.01]])])
    source.labelme("p1_02.png")
    counts = convert()["counts"]
    assert (counts["regions_without_pixels"], counts["expressions"], counts["images_dropped"]) == (1, 1, 1)


def test_an_outline_without_a_pixel_does_no_harm_by_crossing_itself(source, convert):
    source.labelme("p1_01.png", [("vessel", TRIANGLE), ("vessel", [[1, 1], [5, 5], [9, 9]])])
    counts = convert()["counts"]
    assert (counts["regions_without_pixels"], counts["regions_crossing_themselves"]) == (1, 0)


def test_images_without_an_expression_are_dropped_with_their_reason(source, convert):
    source.labelme("p1_01.png")
    source.labelme("p1_02.png", [])
    source.image("p1_03.png")
    summary = convert(pseudonymise=False)
    assert summary["dropped"] == {"p1_02": "no region"}
    assert (summary["counts"]["images_dropped"], summary["counts"]["images_not_annotated"]) == (1, 1)
    assert list(summary["images"]) == ["p1_01"]


def test_every_declared_phrase_is_asked_of_every_annotated_image_on_request(
    source, convert, tmp_path, union, officially_read
):
    source.labelme("p1_01.png", [("v", TRIANGLE)])
    source.labelme("p1_02.png", [])
    source.image("p1_03.png")
    summary = convert(
        phrases={"v": "vessel", "c": "catheter"}, include_empty=True, pseudonymise=False, single_split="val"
    )
    read = officially_read(tmp_path / "tree", "val")
    areas = {
        name: {phrase: int(mask.sum()) for phrase, mask in phrases.items()} for name, phrases in read.items()
    }
    assert areas == {
        "p1_01.png": {"vessel": int(union([TRIANGLE]).sum()), "catheter": 0},
        "p1_02.png": {"vessel": 0, "catheter": 0},
    }
    assert summary["counts"]["expressions_empty"] == 3
    assert summary["dropped"] == {}


def test_expressions_are_numbered_by_image_and_by_the_order_of_phrases(source, convert, tmp_path):
    for name in ("b_1.png", "a_1.png"):
        source.labelme(name, [("c", SQUARE), ("v", TRIANGLE)])
    convert(phrases={"v": "vessel", "c": "catheter"}, pseudonymise=False)
    expressions = read_expressions(tmp_path / "tree", "test")
    assert [(e.sent_id, e.image_id, e.phrase) for e in expressions] == [
        (1, "a_1", "vessel"),
        (2, "a_1", "catheter"),
        (3, "b_1", "vessel"),
        (4, "b_1", "catheter"),
    ]


def test_the_official_fields_are_all_there(source, convert, tmp_path, union):
    source.labelme("p1_01.png", [("blood vessel", SQUARE)])
    summary = convert()
    (image_id,) = summary["images"]
    instances = json.loads((tmp_path / "tree" / INSTANCES).read_text())
    patient = image_id.split("_")[0]
    assert instances["images"] == [
        {"id": 1, "file_name": f"{image_id}.png", "width": 40, "height": 30, "patient": patient}
    ]
    (annotation,) = instances["annotations"]
    assert isinstance(annotation["segmentation"], list)
    assert annotation["area"] == union([SQUARE]).sum()
    assert annotation["bbox"] == [10, 10, 20, 18]
    assert instances["categories"] == [{"id": 1, "name": "blood vessel", "supercategory": ""}]
    sentence = {"sent_id": 1, "sent": "blood vessel", "raw": "blood vessel", "tokens": ["blood", "vessel"]}
    assert pickle.loads((tmp_path / "tree" / REFS).read_bytes()) == [
        {
            "ref_id": 1,
            "ann_id": 1,
            "category_id": 1,
            "image_id": 1,
            "split": "test",
            "file_name": f"{image_id}.png",
            "sent_ids": [1],
            "sentences": [sentence],
        }
    ]


def test_the_instances_are_json_as_it_is_written_in_one_piece(source, convert, tmp_path):
    for name in ("p1_1.png", "p1_2.png", "Änne_1.png"):
        source.labelme(name, [("vessel", TRIANGLE), ("Gefäß", SQUARE)])
    convert(pseudonymise=False)
    text = (tmp_path / "tree" / INSTANCES).read_text("utf-8")
    assert text == json.dumps(json.loads(text), ensure_ascii=False) + "\n"
    assert [len(json.loads(text)[key]) for key in ("images", "annotations", "categories")] == [3, 6, 2]


def test_the_summary_is_what_dataset_json_says(source, convert, tmp_path):
    for name in ("p1_02.png", "p1_01.png", "p2_07.png"):
        source.labelme(name)
    summary = convert(pseudonymise=False)
    assert json.loads((tmp_path / "tree" / "dataset.json").read_text()) == summary
    assert summary["splits"] == {"test": ["p1", "p2"]}
    assert summary["images"]["p1_02"] == {
        "patient": "p1",
        "frame": 2,
        "split": "test",
        "width": 40,
        "height": 30,
        "pixels_sha256": hashlib.sha256(
            np.asarray(Image.open(source.root / "p1_02.png").convert("RGB")).tobytes()
        ).hexdigest(),
    }
    assert summary["rasteriser"] == "coco"
    assert summary["pseudonymised"] is False
    assert summary["provenance"]["inputs"]["images"]["files"] == 3


@pytest.mark.parametrize(
    ("name", "published"),
    [("p1_01.PNG", "p1_01.png"), ("p1_01.jpeg", "p1_01.jpg"), ("p1_01.bmp", "p1_01.png")],
)
def test_pixels_are_published_unchanged(source, convert, tmp_path, name, published, union, officially_read):
    source.labelme(name)
    convert(pseudonymise=False)
    ((read, phrases),) = officially_read(tmp_path / "tree", "test").items()
    assert read == published
    assert np.array_equal(phrases["vessel"], union([TRIANGLE]))
    (item,) = ReferringDataset(tmp_path / "tree", "test", Inference().question)
    assert Path(item["image_path"]).name == published
    assert np.array_equal(item["image"], Image.open(source.root / name).convert("RGB"))


def test_the_counts_are_said_on_standard_error(source, convert, capsys):
    source.labelme("p1_01.png")
    source.labelme("p2_01.png")
    convert()
    assert "2 images, 2 expressions, 2 patients (test 2)" in capsys.readouterr().err


@pytest.mark.parametrize("pseudonymise", [True, False])
def test_two_runs_give_the_same_bytes(source, convert, tmp_path, pseudonymise, bytes_of):
    for number in range(12):
        source.labelme(f"p{number % 4}_{number}.png", [("vessel", TRIANGLE), ("catheter", SQUARE)])
    convert(output=tmp_path / "first", pseudonymise=pseudonymise, threads=1)
    convert(output=tmp_path / "second", pseudonymise=pseudonymise, threads=4)
    assert bytes_of(tmp_path / "first") == bytes_of(tmp_path / "second")
