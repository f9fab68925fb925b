import json
from pathlib import Path

import pytest

from refvessel.dataset.problems import Problems
from refvessel.dataset.readers import sa2va
from refvessel.errors import UserError

A = [2, 2, 20, 4, 8, 25]
B = [10, 10, 30, 10, 30, 28, 10, 28]


def read(root: Path) -> list:
    problems = Problems()
    records = list(sa2va.read(root, problems))
    problems.raise_any()
    return records


def drawn(record) -> list[tuple[str, list[float]]]:
    return [
        (region.label, polygon.points.ravel().tolist())
        for region in record.regions
        for polygon in region.shapes
    ]


def pairs(flat: list[float]) -> list[list[float]]:
    return [flat[i : i + 2] for i in range(0, len(flat), 2)]


@pytest.mark.parametrize(
    "mask",
    [[A, B], [[A], [B]], [pairs(A), pairs(B)], [[pairs(A)], [pairs(B)]], [A, [B]]],
    ids=["flat", "nested", "flat pairs", "nested pairs", "mixed"],
)
def test_flat_and_nested_forms_are_the_same(source, mask):
    source.sa2va([{"image": "p1_01.png", "mask": mask, "text": ["artery", "catheter"]}])
    (record,) = read(source.root)
    assert record.name == "p1_01.png"
    assert drawn(record) == [("artery", A), ("catheter", B)]


def test_all_polygons_of_a_text_are_kept(source):
    source.sa2va([{"image": "p1.png", "mask": [[A, B]], "text": ["artery"]}])
    assert drawn(read(source.root)[0]) == [("artery", A), ("artery", B)]


def test_a_single_text_names_all_masks_and_is_counted(source):
    source.sa2va([{"image": "p1.png", "mask": [A, B, A], "text": ["artery", "catheter"]}])
    (record,) = read(source.root)
    assert [label for label, _ in drawn(record)] == ["artery", "catheter", "catheter"]
    assert record.counts == {"texts_repeated": 1}


def test_no_mask_is_an_image_without_regions(source):
    source.sa2va(
        [
            {"image": "p1.png", "mask": [], "text": ["artery"]},
            {"image": "p2.png", "mask": [[]], "text": ["artery"]},
        ]
    )
    assert [record.regions for record in read(source.root)] == [(), ()]


def test_images_may_lie_beside_the_file(source):
    image = source.image("p1.png")
    source.image("images/other.png")
    source.sa2va([])
    (source.root / "annotations.json").write_text('[{"image": "p1.png", "mask": [], "text": []}]')
    annotated, bare = read(source.root)
    assert (annotated.path, annotated.name) == (image.resolve(), "p1.png")
    assert (bare.name, bare.annotation) == ("images/other.png", None)


def test_a_size_may_be_stated(source):
    source.sa2va([{"image": "p1.png", "mask": [A], "text": ["artery"], "width": 800, "height": 600}])
    assert read(source.root)[0].stated_size == (800, 600)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"image": "../../x.png"}, "leads out of"),
        ({"image": "/etc/hostname"}, "leads out of"),
        ({"image": "absent.png"}, "the image does not exist"),
        ({"image": 7}, "'image' must be text"),
        ({"mask": None}, "'mask' must be a list"),
        ({"mask": [{"size": [30, 40], "counts": ""}]}, "mask 1 must be a list"),
        ({"mask": [[1, 2, 3, 4]]}, "fewer than three points"),
        ({"mask": [[[1, 2, 3, 4]]]}, "fewer than three points"),
        ({"mask": [[[1, 2], [3, 4]]]}, "fewer than three points"),
        ({"mask": [[*A, 1]]}, "odd number"),
        ({"mask": [[*A[:5], float("inf")]]}, "finite"),
        ({"mask": [[*A[:5], None]]}, "not a list of numbers"),
        ({"text": []}, "no text"),
        ({"text": ["  "]}, "mask 1 has no text"),
        ({"text": [None]}, "its text must be text"),
        ({"text": "artery"}, "'text' must be a list"),
        ({"text": ["artery", "catheter"]}, "2 texts for 1 masks"),
        ({"width": 800}, "'height' is missing"),
        ({"width": -1, "height": 3}, "positive"),
    ],
)
def test_bad_input_is_told_with_its_entry_and_field(source, fields, reason):
    source.sa2va([{"image": "p1.png", "mask": [A], "text": ["artery"]}])
    entry = {"image": "p1.png", "mask": [A], "text": ["artery"]} | fields
    (source.root / "annotations.json").write_text(json.dumps([entry]))
    with pytest.raises(UserError, match=r"annotations\.json: entry 1") as caught:
        read(source.root)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "{}", "[7]"])
def test_a_file_of_another_form_is_refused(source, content):
    (source.root / "annotations.json").write_text(content)
    with pytest.raises(UserError, match=r"annotations\.json"):
        read(source.root)


def test_a_missing_file_is_named(source):
    with pytest.raises(UserError, match=r"annotations\.json does not exist"):
        read(source.root)
