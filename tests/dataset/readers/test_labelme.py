import base64
import json
from pathlib import Path

import numpy as np
import pytest

from refvessel.dataset.problems import Problems
from refvessel.dataset.readers import labelme
from refvessel.errors import UserError

TRIANGLE = [[2, 2], [20, 4], [8, 25]]


def read(root: Path) -> list:
    problems = Problems()
    records = list(labelme.read(root, problems))
    problems.raise_any()
    return records


def test_a_folder_is_read_recursively_in_order(source):
    for name in ("b/p2_01.png", "a/p1_01.png", "p0.png"):
        source.labelme(name)
    assert [record.name for record in read(source.root)] == ["a/p1_01.png", "b/p2_01.png", "p0.png"]


def test_shapes_become_regions_and_the_stated_size_is_kept(source):
    source.labelme(
        "p1.png", [("vessel", TRIANGLE), (" catheter ", TRIANGLE[::-1])], imageWidth=80, imageHeight=60
    )
    (record,) = read(source.root)
    assert [region.label for region in record.regions] == ["vessel", "catheter"]
    assert record.regions[1].polygon.tolist() == TRIANGLE[::-1]
    assert record.stated_size == (80, 60)


def test_a_rectangle_is_a_polygon_of_its_corners(source):
    shape = {"label": "vessel", "points": [[20, 25], [2, 4]], "shape_type": "rectangle"}
    source.labelme("p1.png", shapes=[shape])
    (record,) = read(source.root)
    assert record.regions[0].polygon.tolist() == [[20, 25], [2, 25], [2, 4], [20, 4]]


def test_a_shape_without_type_is_a_polygon(source):
    source.labelme("p1.png", shapes=[{"label": "vessel", "points": TRIANGLE}])
    assert read(source.root)[0].regions[0].polygon.tolist() == TRIANGLE


def test_an_image_path_of_windows_is_followed(source):
    image = source.image("images/p1.png")
    source.labelme("labels/p1.png", image=False, imagePath="..\\images\\p1.png")
    (record,) = read(source.root)
    assert record.path == image.resolve()
    assert record.name == "images/p1.png"


def test_an_embedded_image_serves_where_the_file_is_absent(source):
    image = source.image("p1.png")
    content = image.read_bytes()
    source.labelme("p1.png", image=False, imageData=base64.b64encode(content).decode())
    assert read(source.root)[0].path == image.resolve()
    image.unlink()
    (record,) = read(source.root)
    assert record.name == "p1.json"
    assert record.load(record.path) == content


def test_an_embedded_image_that_is_not_base64_is_refused(source):
    source.labelme("p1.png", image=False, imageData="no *** base64")
    (record,) = read(source.root)
    with pytest.raises(UserError, match=r"p1\.json: imageData is not base64"):
        record.load(record.path)


def test_images_without_annotation_are_told_apart_from_images_without_regions(source):
    source.labelme("p1.png", [])
    source.image("p2.PNG")
    annotated, bare = read(source.root)
    assert (annotated.name, annotated.annotation, annotated.regions) == (
        "p1.png",
        source.root / "p1.json",
        (),
    )
    assert (bare.name, bare.annotation) == ("p2.PNG", None)


def test_hidden_files_are_passed_over(source):
    source.labelme("p1.png")
    (source.root / "._p1.json").write_bytes(b"\0\5\26\7")
    (source.root / ".trash").mkdir()
    (source.root / ".trash" / "p2.json").write_text("{}")
    assert len(read(source.root)) == 1


@pytest.mark.parametrize("name", ["Müller Änne [1] (2).png", "张伟 #1.png", "a%20b.png"])
def test_names_may_hold_spaces_brackets_and_unicode(source, name):
    source.labelme(name)
    assert read(source.root)[0].name == name


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"imagePath": "../../secret.png"}, "leads out of"),
        ({"imagePath": "..\\..\\secret.png"}, "leads out of"),
        ({"imagePath": "/etc/hostname"}, "leads out of"),
        ({"imagePath": "p\0.png"}, "not a usable path"),
        ({"imagePath": "other.png"}, "the image 'other.png' does not exist"),
        ({"imagePath": None}, "'imagePath' must be text"),
        ({"imageWidth": None}, "'imageWidth' must be a whole number"),
        ({"imageHeight": 0}, "state positive sizes"),
        ({"shapes": {}}, "'shapes' must be a list"),
        ({"shapes": [7]}, "shape 1: 7 stands where an object is needed"),
        ({"shapes": [{"points": TRIANGLE}]}, "shape 1: the field 'label' is missing"),
        ({"shapes": [{"label": "  ", "points": TRIANGLE}]}, "shape 1 has no text"),
        ({"shapes": [{"label": "v", "points": TRIANGLE[:2]}]}, "shape 1 has fewer than three points"),
        ({"shapes": [{"label": "v", "points": [[1, 2], [3, 4], [5, float("nan")]]}]}, "finite"),
        (
            {"shapes": [{"label": "v", "points": TRIANGLE, "shape_type": "circle"}]},
            "'circle'; only polygon and",
        ),
        (
            {"shapes": [{"label": "v", "points": TRIANGLE, "shape_type": "rectangle"}]},
            "rectangle of 3 points",
        ),
        ({"shapes": [{"label": "v", "points": [[1], [2, 3]], "shape_type": "rectangle"}]}, "not a pair"),
        ({"shapes": [{"label": "v", "points": [1, [2, 3]], "shape_type": "rectangle"}]}, "must be a list"),
    ],
)
def test_bad_input_is_told_with_its_file_and_field(source, fields, reason):
    source.labelme("p1.png", **fields)
    with pytest.raises(UserError, match=r"p1\.json: ") as caught:
        read(source.root)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"shapes": []}'])
def test_a_file_that_is_not_labelme_is_refused(source, content):
    (source.root / "p1.json").write_text(content)
    with pytest.raises(UserError, match=r"p1\.json"):
        read(source.root)


def test_every_bad_shape_of_a_file_is_told(source):
    source.labelme("p1.png", [("v", TRIANGLE[:2]), ("v", TRIANGLE), ("", TRIANGLE)])
    with pytest.raises(UserError, match=r"(?s)shape 1 has fewer.*shape 3 has no text"):
        read(source.root)


@pytest.mark.parametrize("linked", ["p1.png", "p1.json"])
def test_a_symlink_out_of_the_root_is_refused(source, tmp_path, linked):
    source.labelme("p1.png")
    outside = tmp_path / "outside"
    outside.mkdir()
    (source.root / linked).rename(outside / linked)
    (source.root / linked).symlink_to(outside / linked)
    with pytest.raises(UserError, match="leads out of"):
        read(source.root)


def test_a_symlink_inside_the_root_leads_to_one_image(source):
    source.labelme("real/p1.png")
    (source.root / "alias.png").symlink_to(source.root / "real" / "p1.png")
    assert [record.name for record in read(source.root)] == ["real/p1.png"]


def test_numbers_are_read_as_json_has_them(source):
    points = [[2.5, 2], [20, 4.25], [8, 25]]
    annotation = source.labelme("p1.png", [("vessel", points)])
    assert json.loads(annotation.read_text())["shapes"][0]["points"] == points
    assert np.array_equal(read(source.root)[0].regions[0].polygon, points)
