import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as pycoco
from pycocotools.coco import COCO

from refvessel import rle
from refvessel.dataset.tree.expressions import read_expressions
from refvessel.dataset.tree.loader import ReferringDataset
from refvessel.errors import UserError
from refvessel.settings.inference_section import Inference

pytestmark = pytest.mark.usefixtures("converted_here")

TRIANGLE = [2, 2, 20, 4, 8, 25]
SQUARE = [10, 10, 30, 10, 30, 28, 10, 28]
MASK = np.zeros((30, 40), np.uint8)
MASK[4:9, 3:30] = 1


def annotation(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {"id": number, "image_id": 1, "category_id": 3, "segmentation": [TRIANGLE], "iscrowd": 0} | fields


def write(source, annotations: list[dict], images: int = 1, **fields: Any) -> None:
    listed = [{"id": i, "file_name": f"p{i}.png", "width": 40, "height": 30} for i in range(1, images + 1)]
    for image in listed:
        source.image(f"images/{image['file_name']}")
    categories = [{"id": 3, "name": "artery"}, {"id": 4, "name": "catheter"}]
    content = {"images": listed, "annotations": annotations, "categories": categories} | fields
    (source.root / "annotations.json").write_text(json.dumps(content))


def plain(mask: np.ndarray) -> dict:
    """COCO's uncompressed run lengths, by hand."""
    flat, runs = np.concatenate([[0], mask.ravel(order="F")]), [0]
    for before, value in pairwise(flat):
        if value != before:
            runs.append(0)
        runs[-1] += 1
    return {"size": list(mask.shape), "counts": runs}


@pytest.mark.parametrize("segmentation", [rle.encode(MASK), plain(MASK)], ids=["compressed", "uncompressed"])
def test_run_lengths_keep_their_mask(source, convert, tmp_path, segmentation):
    write(source, [annotation(segmentation=segmentation, iscrowd=1)])
    counts = convert("coco")["counts"]
    (expression,) = read_expressions(tmp_path / "tree", "test")
    assert np.array_equal(rle.decode(expression.truth), MASK)
    assert counts["regions_crowd"] == 1


@pytest.mark.parametrize("form", [str, float], ids=["from the annotations' folder", "numbers with a point"])
def test_what_exporters_write_is_read(source, read, form):
    write(source, [annotation()])
    path = source.root / "annotations.json"
    content = json.loads(path.read_text())
    if form is str:
        content["images"][0]["file_name"] = "images/p1.png"
    else:  # as tables write whole numbers once a column has had a gap
        content["images"][0] |= {"id": 1.0, "width": 40.0, "height": 30.0}
        content["annotations"][0] |= {"image_id": 1.0, "category_id": 3.0}
    path.write_text(json.dumps(content))
    (record,) = read("coco")
    assert (record.name, record.stated_size, len(record.regions)) == ("p1.png", (40, 30), 1)


def test_categories_are_labels_and_images_without_annotation_are_empty(source, read):
    write(source, [annotation(1), annotation(2, category_id=4)], images=2)
    source.image("images/unlisted.png")
    first, second, unlisted = read("coco")
    assert [region.label for region in first.regions] == ["artery", "catheter"]
    assert (second.name, second.regions, second.annotation is None) == ("p2.png", (), False)
    assert unlisted.annotation is None


@pytest.mark.parametrize("target", ["phrase", "region"])
def test_a_target_is_a_phrase_or_a_region(source, convert, tmp_path, target):
    write(source, [annotation(1, segmentation=[TRIANGLE, SQUARE]), annotation(2, segmentation=[SQUARE])])
    convert("coco", target=target)
    found = [rle.decode(each.truth) for each in read_expressions(tmp_path / "tree", "test")]
    both = pycoco.decode(pycoco.merge(pycoco.frPyObjects([TRIANGLE, SQUARE], 30, 40)))
    second = pycoco.decode(pycoco.merge(pycoco.frPyObjects([SQUARE], 30, 40)))
    expected = [both] if target == "phrase" else [both, second]
    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("include_empty", [False, True])
def test_the_real_frames_have_the_masks_of_pycocotools(
    convert, source, shared, tmp_path, capsys, include_empty
):
    root = shared / "vessels" / "arcade_stenosis"
    source.root = root
    summary = convert(
        "coco", include_empty=include_empty, pseudonymise=False, patient_pattern="(?P<patient>.+)"
    )
    reference = COCO(root / "annotations.json")
    names = {image["file_name"]: image["id"] for image in reference.dataset["images"]}
    assert len(names) == 42
    found = {}
    for item in ReferringDataset(tmp_path / "tree", "test", Inference().question):
        (mask,) = item["gt_masks"]
        found[item["image_path"].rpartition("/")[2]] = mask
    for name, identifier in names.items():
        annotations = reference.loadAnns(reference.getAnnIds(imgIds=identifier))
        expected = np.zeros((512, 512), np.uint8)
        for each in annotations:
            expected |= reference.annToMask(each)
        if expected.any() or include_empty:
            assert np.array_equal(found.pop(name), expected)
    assert found == {}
    assert summary["counts"]["images"] == (42 if include_empty else 40)
    assert summary["counts"]["expressions_empty"] == (2 if include_empty else 0)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"image_id": 9}, "annotation 1 is of image 9, which is not listed"),
        ({"category_id": 9}, "annotation 1 .* is of category 9, which is not listed"),
        ({"segmentation": []}, "has a segmentation without polygons"),
        ({"segmentation": None}, "its segmentation must be a list"),
        ({"segmentation": [[1, 2, 3, 4]]}, "fewer than three points"),
        ({"segmentation": [[*TRIANGLE[:5], float("nan")]]}, "finite"),
        ({"segmentation": rle.empty(40, 30)}, r"RLE is of size \[40, 30\]"),
        ({"segmentation": {"size": [30, 40], "counts": [3]}}, "does not cover 30 x 40"),
        ({"segmentation": {"size": [30, 40], "counts": [2**70]}}, "nor whole numbers of its pixels"),
        ({"image_id": "1"}, "'image_id' must be a whole number, not '1'"),
        ({"segmentation": [[90, 2, 99, 4, 95, 25]]}, "lies outside the image"),
    ],
)
def test_bad_annotations_are_named_with_their_image(source, convert, tmp_path, fields, reason):
    write(source, [annotation(**fields)])
    with pytest.raises(UserError, match=rf"annotations\.json: annotation 1.*{reason}|{reason}"):
        convert("coco")
    assert not (tmp_path / "tree").exists()


def test_other_faults_of_the_file_are_told_together(source, read):
    images = [
        {"id": 1, "file_name": "gone.png", "width": 40, "height": 30},
        {"id": 1, "file_name": "p1.png", "width": 40, "height": 30},
        {"id": 2, "file_name": "../../x.png", "width": 40, "height": 30},
    ]
    write(source, [], images=1)
    content = json.loads((source.root / "annotations.json").read_text()) | {"images": images}
    (source.root / "annotations.json").write_text(json.dumps(content))
    with pytest.raises(UserError) as caught:
        read("coco")
    for reason in ("two images of the id 1", "gone.png does not exist", "leads out of"):
        assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"images": [{"id": "1", "file_name": "p1.png", "width": 40, "height": 30}]}, "'id' must be a whole"),
        (
            {"images": [{"id": 1, "file_name": "p1.png"}]},
            r"image 1 \(p1\.png\): the field 'width' is missing",
        ),
        (
            {"images": [{"id": 1, "file_name": "p1.png", "width": None, "height": 30}]},
            "'width' must be a whole",
        ),
        ({"categories": [{"id": 3, "name": "a"}, {"id": 3, "name": "b"}]}, "two categories of the id 3"),
        ({"annotations": [annotation(1), annotation(1)]}, "two annotations of the id 1"),
        ({"annotations": None}, "'annotations' must be a list"),
    ],
)
def test_ids_and_sizes_that_are_not_clear_are_refused(source, convert, tmp_path, fields, reason):
    write(source, [])
    path = source.root / "annotations.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    with pytest.raises(UserError, match=reason) as caught:
        convert("coco")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "tree").exists()


def test_a_missing_annotation_file_is_told(source, read):
    with pytest.raises(UserError, match=r"has no annotations\.json; put the file there"):
        read("coco")
