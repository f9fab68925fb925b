import base64
import io
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refvessel import rle
from refvessel.dataset.problems import Problems
from refvessel.dataset.readers import labelme
from refvessel.dataset.tree.expressions import read_expressions
from refvessel.errors import UserError

pytestmark = pytest.mark.usefixtures("converted_here")

ANYONE = "(?P<patient>.+)"  # every image shows another patient
TRIANGLE = [[2, 2], [20, 4], [8, 25]]
# A PNG of one white pixel.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg=="


def read(root: Path, **options) -> list:
    """The records, their shapes read."""
    problems = Problems()
    records = [
        replace(record, regions=tuple(record.all_regions(problems)), region_files=())
        for record in labelme.read(root, problems, **options)
    ]
    problems.raise_any()
    return records


def points_of(record, number: int) -> list:
    (polygon,) = record.regions[number].shapes
    return polygon.points.tolist()


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
    assert points_of(record, 1) == TRIANGLE[::-1]
    assert record.stated_size == (80, 60)


@pytest.mark.parametrize("kind", ["rectangle", "oriented_rectangle"])
def test_a_rectangle_may_have_four_corners(source, kind):
    corners = [[2, 4], [20, 4], [20, 25], [2, 25]]
    shape = {"label": "vessel", "points": corners, "shape_type": kind, "group_id": ""}
    source.labelme("p1.png", shapes=[shape])
    assert drawn(read(source.root)[0]).sum() == 18 * 21


def test_a_rectangle_is_a_polygon_of_its_corners(source):
    shape = {"label": "vessel", "points": [[20, 25], [2, 4]], "shape_type": "rectangle"}
    source.labelme("p1.png", shapes=[shape])
    (record,) = read(source.root)
    assert points_of(record, 0) == [[20, 25], [2, 25], [2, 4], [20, 4]]


def drawn(record, size=(40, 30)) -> np.ndarray:
    (region,) = record.regions
    return rle.decode(region.draw(size, record.stated_size).mask)


def test_a_linestrip_is_drawn_with_its_width(source):
    shape = {"label": "vessel", "points": [[5, 10], [30, 10]], "shape_type": "linestrip", "line_width": 4}
    source.labelme("p1.png", shapes=[shape])
    mask = drawn(read(source.root)[0])
    assert mask[8:12, 5:30].all()
    assert mask.sum() == pytest.approx(25 * 4 + np.pi * 2**2, abs=6)  # its round ends make one disc
    assert not mask[:7].any()
    assert not mask[13:].any()


def test_the_width_of_linestrips_may_be_an_option(source):
    shape = {"label": "vessel", "points": [[5, 10], [30, 10], [30, 20]], "shape_type": "linestrip"}
    source.labelme("p1.png", shapes=[shape])
    with pytest.raises(UserError, match="shape 1 is a linestrip without a width; set the option line_width"):
        read(source.root)
    assert drawn(read(source.root, line_width=3)[0])[15, 29:31].all()


def as_base64(mask: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.mark.parametrize("values", [bool, np.uint8])
def test_a_mask_lies_in_the_box_of_its_points(source, values):
    patch = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1], [0, 0, 1]], bool)
    pixels = patch if values is bool else patch.astype(np.uint8) * 255
    shape = {"label": "vessel", "points": [[4, 7], [6, 10]], "shape_type": "mask", "mask": as_base64(pixels)}
    source.labelme("p1.png", shapes=[shape])
    expected = np.zeros((30, 40), np.uint8)
    expected[7:11, 4:7] = patch
    assert np.array_equal(drawn(read(source.root)[0]), expected)


def mask_of(pixels: np.ndarray, left: float, top: float, **fields) -> dict:
    """A shape as LabelMe's AI tools make it."""
    height, width = pixels.shape[:2]
    points = [[left, top], [left + width - 1, top + height - 1]]
    shape = {"label": "vessel", "points": points, "shape_type": "mask", "group_id": None, "flags": {}}
    return shape | {"mask": as_base64(pixels)} | fields


RING = np.array([[1, 1, 1, 1], [1, 0, 0, 1], [1, 1, 1, 1]], np.uint8)


@pytest.mark.parametrize(
    "pixels",
    [
        RING,
        RING * 255,
        RING * 37,
        RING * np.arange(1, 5, dtype=np.uint8),
        RING.astype(bool),
        RING.astype(np.uint16),
        np.dstack([RING] * 3),
        np.dstack([RING, RING, RING, np.full_like(RING, 255)]),
        np.dstack([RING * 255] * 4),
    ],
    ids=["0 and 1", "0 and 255", "0 and 37", "levels", "one bit", "16 bits", "rgb", "opaque", "transparent"],
)
def test_all_but_zero_is_foreground_of_a_mask(source, pixels):
    source.labelme("p1.png", shapes=[mask_of(pixels, 4, 7)])
    expected = np.zeros((30, 40), np.uint8)
    expected[7:10, 4:8] = RING
    assert np.array_equal(drawn(read(source.root)[0]), expected)


def test_a_large_mask_of_zeros_and_ones_keeps_every_pixel(source, convert):
    source.labelme("p1.png", size=(300, 200), shapes=[mask_of(np.ones((150, 250), np.uint8), 20, 10)])
    (record,) = read(source.root)
    assert drawn(record, (300, 200)).sum() == 150 * 250


def test_a_mask_and_a_polygon_of_a_label_are_united(source, convert, tmp_path, officially_read, union):
    polygon = {"label": "vessel", "points": TRIANGLE, "shape_type": "polygon"}
    source.labelme("p1.png", shapes=[mask_of(np.ones((3, 5), np.uint8), 30, 20), polygon])
    convert(pseudonymise=False)
    expected = union([TRIANGLE])
    expected[20:23, 30:35] = 1
    assert np.array_equal(officially_read(tmp_path / "tree", "test")["p1.png"]["vessel"], expected)


@pytest.mark.parametrize("shift", [0.5, 0.3, 0.7])
def test_a_mask_that_was_moved_between_pixels_keeps_its_size(source, shift):
    source.labelme("p1.png", shapes=[mask_of(RING, 4 + shift, 7 + shift)])
    assert drawn(read(source.root)[0]).sum() == RING.sum()


@pytest.mark.parametrize("points", [[[4, 7], [9, 9]], [[4.5, 7.5], [9.5, 9.5]]])
def test_a_mask_of_another_size_than_its_box_is_refused(source, points):
    source.labelme("p1.png", shapes=[mask_of(RING, 4, 7, points=points)])
    with pytest.raises(UserError, match="its mask of 4 x 3 pixels does not fill the box of its points"):
        read(source.root)


def test_regions_without_a_pixel_are_a_warning_even_where_no_other_is_left(source, convert):
    source.labelme("p1.png", shapes=[mask_of(np.zeros((3, 5), np.uint8), 3, 2)])
    source.labelme("p2.png", [("vessel", [[5, 5], [5.01, 5], [5, 5.01]]), ("vessel", TRIANGLE)])
    summary = convert(pseudonymise=False, patient_pattern=ANYONE)
    assert summary["counts"]["regions_without_pixels"] == 2
    assert summary["dropped"] == {"p1": "no region with a pixel"}
    (warning,) = summary["warnings"]
    assert warning == (
        "2 annotated regions on 2 images have no pixel, being too thin or empty, and are left out "
        "(e.g. on p1, p2)."
    )


def test_data_without_a_single_pixel_of_truth_are_refused_with_the_reason(source, convert):
    source.labelme("p1.png", shapes=[mask_of(np.zeros((3, 5), np.uint8), 3, 2)])
    with pytest.raises(
        UserError, match=r"holds no image with an expression .*\(1 annotated regions have no pixel\)"
    ):
        convert()


def test_a_mask_over_the_border_is_clipped(source):
    pixels = as_base64(np.ones((4, 3), bool))
    shape = {"label": "v", "points": [[-1, -1], [1, 2]], "shape_type": "mask", "mask": pixels}
    source.labelme("p1.png", shapes=[shape])
    (region,) = read(source.root)[0].regions
    result = region.draw((40, 30), (40, 30))
    assert result.clipped
    assert rle.area(result.mask) == 2 * 3


def test_a_mask_is_never_resampled(source):
    pixels = as_base64(np.ones((4, 3), bool))
    shape = {"label": "v", "points": [[4, 7], [6, 10]], "shape_type": "mask", "mask": pixels}
    source.labelme("p1.png", shapes=[shape], imageWidth=80, imageHeight=60)
    with pytest.raises(UserError, match="masks are not resampled"):
        drawn(read(source.root)[0])


def box(label: str, left: int, top: int, right: int, bottom: int, **fields) -> dict:
    points = [[left, top], [right, top], [right, bottom], [left, bottom]]
    return {"label": label, "points": points, "shape_type": "polygon", "group_id": None} | fields


def areas(summary_of, tmp_path, **arguments) -> list[tuple[str, int]]:
    """Phrase and pixels of each expression."""
    summary_of(**arguments)
    return [(each.phrase, rle.area(each.truth)) for each in read_expressions(tmp_path / "tree", "test")]


def test_shapes_of_a_label_and_a_group_are_one_region(source, convert, tmp_path):
    shapes = [
        box("vessel", 0, 0, 10, 5, group_id=0),
        box("catheter", 0, 10, 10, 12, group_id=0),
        box("vessel", 20, 0, 30, 5, group_id=0),
        box("vessel", 0, 20, 4, 25, group_id=1),
        box("vessel", 30, 20, 35, 25),
        box("vessel", 36, 20, 39, 25),
    ]
    source.labelme("p1.png", shapes=shapes)
    expected = [("catheter", 20), ("vessel", 100), ("vessel", 20), ("vessel", 25), ("vessel", 15)]
    assert areas(convert, tmp_path, target="region") == expected
    assert areas(convert, tmp_path) == [("catheter", 20), ("vessel", 160)]


def test_a_group_of_a_mask_and_a_polygon_has_no_outlines(source, convert, tmp_path):
    shapes = [mask_of(np.ones((3, 5), np.uint8), 30, 20, group_id=2), box("vessel", 0, 0, 10, 5, group_id=2)]
    source.labelme("p1.png", shapes=[*shapes, box("vessel", 20, 0, 25, 5)])
    assert areas(convert, tmp_path, target="region") == [("vessel", 65), ("vessel", 25)]
    assert not (tmp_path / "tree/outlines.npz").exists()


def test_a_group_that_is_no_number_is_told(source):
    source.labelme("p1.png", shapes=[box("vessel", 0, 0, 10, 5, group_id=[1])])
    with pytest.raises(UserError, match=r"shape 1: group_id must be a whole number, not \[1\]"):
        read(source.root)


def test_background_cuts_holes_into_all_shapes_before_it(source, convert, tmp_path):
    shapes = [
        box("vessel", 0, 0, 20, 20),
        box("catheter", 15, 0, 25, 20),
        box("_background_", 5, 5, 18, 15),
        box("vessel", 8, 8, 12, 12),  # an island in the hole
        mask_of(np.ones((2, 4), np.uint8), 0, 0, label="_background_"),
    ]
    source.labelme("p1.png", shapes=shapes)
    counts = {"catheter": 200 - 30, "vessel": 400 - 130 + 16 - 8}
    assert dict(areas(convert, tmp_path)) == counts
    found = areas(convert, tmp_path, target="region")
    assert sorted(found) == [("catheter", 170), ("vessel", 16), ("vessel", 262)]


def test_many_holes_are_cut_in_a_row(source):
    shapes = [box("vessel", 0, 0, 40, 30)]
    shapes += [box("_background_", x, y, x + 1, y + 1) for x in range(0, 40, 2) for y in range(0, 30)]
    source.labelme("p1.png", shapes=shapes)
    assert drawn(read(source.root)[0]).sum() == 20 * 30


def test_background_before_all_other_shapes_cuts_nothing_and_is_a_warning(source, convert):
    source.labelme("p1.png", shapes=[box("_background_", 5, 5, 10, 10), box("vessel", 0, 0, 20, 20)])
    summary = convert(patient_pattern=ANYONE)
    assert summary["warnings"] == [
        "1 shapes called _background_ come before all others in their file, so they cut nothing."
    ]


def test_a_region_that_is_cut_away_is_without_a_pixel(source, convert):
    shapes = [box("vessel", 5, 5, 9, 9), box("_background_", 0, 0, 20, 20), box("vessel", 30, 5, 39, 9)]
    source.labelme("p1.png", shapes=shapes)
    assert convert()["counts"]["regions_without_pixels"] == 1


def test_a_hole_outside_the_image_is_told_once_by_its_number(source, convert):
    shapes = [box("vessel", 0, 0, 9, 9), box("vessel", 9, 0, 15, 9), box("_background_", 50, 0, 60, 9)]
    source.labelme("p1.png", shapes=shapes)
    with pytest.raises(UserError, match=r"p1\.json: shape 3 lies outside the image") as caught:
        convert()
    assert "\n" not in str(caught.value)


def test_what_is_called_ignore_is_ignored_and_no_phrase(source, convert, tmp_path):
    shapes = [
        box("vessel", 0, 0, 20, 20),
        box("__ignore__", 0, 25, 40, 30),
        box("__ignore__", 30, 0, 40, 30),
        box("_background_", 30, 0, 40, 10),
    ]
    source.labelme("p1.png", shapes=shapes)
    summary = convert()
    (expression,) = read_expressions(tmp_path / "tree", "test")
    assert rle.area(expression.truth) == 400
    assert rle.area(expression.ignore_mask) == 40 * 5 + 10 * 15
    assert summary["counts"]["regions_ignored"] == 2
    assert summary["phrases"] == {"vessel": 1}


def test_reserved_labels_need_no_phrase(source, convert):
    source.labelme("p1.png", shapes=[box("vessel", 0, 0, 20, 20), box("__ignore__", 0, 25, 40, 30)])
    assert convert(phrases={"vessel": "blood vessel"})["phrases"] == {"blood vessel": 1}


def test_a_shape_without_type_is_a_polygon(source):
    source.labelme("p1.png", shapes=[{"label": "vessel", "points": TRIANGLE}])
    assert points_of(read(source.root)[0], 0) == TRIANGLE


def test_an_image_path_of_windows_is_followed(source):
    image = source.image("images/p1.png")
    source.labelme("labels/p1.png", image=False, imagePath="..\\images\\p1.png")
    (record,) = read(source.root)
    assert record.path == image.resolve()
    assert record.name == "images/p1.png"


def test_an_image_whose_name_is_composed_otherwise_is_found(source):
    """macOS hands on names in decomposed characters, LabelMe files keep them as they were typed."""
    image = source.image("Mu\u0308ller.png")
    source.labelme("1.png", image=False, imagePath="M\u00fcller.png")
    assert [record.path for record in read(source.root)] == [image.resolve()]


def test_backslashes_may_be_part_of_a_name(source):
    image = source.image("a\\b.png")
    source.labelme("a\\b.png", image=False)
    assert [record.path for record in read(source.root)] == [image.resolve()]


@pytest.mark.parametrize(
    "fields", [{"group_id": 3}, {"flags": {"blurred": True}}, {"description": None, "mask": None}]
)
def test_what_else_labelme_notes_of_a_shape_does_not_matter(source, fields):
    source.labelme("p1.png", shapes=[{"label": "vessel", "points": TRIANGLE, "shape_type": None} | fields])
    assert points_of(read(source.root)[0], 0) == TRIANGLE


@pytest.mark.parametrize("change", [lambda t: b"\xef\xbb\xbf" + t, lambda t: t.replace(b", ", b",\r\n")])
def test_byte_order_marks_and_line_endings_of_windows_are_read(source, change):
    annotation = source.labelme("p1.png")
    annotation.write_bytes(change(annotation.read_bytes()))
    assert points_of(read(source.root)[0], 0) == TRIANGLE


def test_a_name_that_is_not_utf_8_is_told(source):
    source.labelme("p1.png")
    (source.root / "p1.json").rename(source.root / os.fsdecode(b"p\xff.json"))
    with pytest.raises(UserError, match=r"p\\udcff\.json' is not a name in UTF-8; rename the file\.$"):
        read(source.root)


def test_an_embedded_image_serves_where_the_file_is_absent(source):
    image = source.image("p1.png")
    content = image.read_bytes()
    source.labelme("p1.png", image=False, imageData=base64.b64encode(content).decode())
    assert read(source.root)[0].path == image.resolve()
    image.unlink()
    (record,) = read(source.root)
    assert record.name == "p1.json"
    assert record.load(record.path) == content


@pytest.mark.parametrize("form", ["data:image/png;base64,{}", "{}\n"], ids=["data URL", "lines"])
def test_base64_may_be_a_data_url_or_end_in_a_line(source, form):
    shape = mask_of(RING, 4, 7)
    content = source.image("other.png").read_bytes()
    text = base64.encodebytes(content).decode()
    source.labelme(
        "p1.png",
        image=False,
        shapes=[shape | {"mask": form.format(shape["mask"])}],
        imageData=form.format(text),
    )
    record = next(record for record in read(source.root) if record.annotation)
    assert record.load(record.path) == content
    assert drawn(record).sum() == RING.sum()


def test_an_embedded_image_that_is_not_base64_is_refused(source):
    source.labelme("p1.png", image=False, imageData="no *** base64")
    (record,) = read(source.root)
    with pytest.raises(UserError, match=r"p1\.json: imageData is not base64"):
        record.load(record.path)


def embedded(size: tuple[int, int]) -> str:
    buffer = io.BytesIO()
    Image.new("L", size, 90).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def test_an_embedded_image_of_another_size_than_the_file_is_told(source, convert, tmp_path):
    double = [[2 * x, 2 * y] for x, y in TRIANGLE]
    source.labelme(
        "p1.png", [("vessel", double)], imageWidth=80, imageHeight=60, imageData=embedded((80, 60))
    )
    source.labelme("p2.png", imageData=embedded((40, 30)))
    summary = convert(pseudonymise=False, patient_pattern=ANYONE)
    assert summary["images"]["p1"]["width"] == 40
    assert summary["counts"]["embedded_images_of_another_size"] == 1
    assert summary["warnings"] == [
        "1 LabelMe files embed an image of another size than the image file, which was used."
    ]


def test_an_embedded_image_is_upright_and_the_file_may_be_turned(source, convert):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = source.image("p1.jpg", (30, 40))
    Image.open(path).save(path, exif=exif)
    source.labelme("p1.jpg", image=False, imageData=embedded((40, 30)))
    assert convert(patient_pattern=ANYONE)["warnings"] == []


def test_postscript_in_an_embedded_image_is_no_image(source, convert):
    content = base64.b64encode(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 30\n").decode()
    source.labelme("p1.png", image=False, imageData=content)
    with pytest.raises(UserError, match=r"p1\.json does not open as an image \(no known format\)"):
        convert()


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
            "'circle'; only polygon, rectangle",
        ),
        (
            {"shapes": [{"label": "v", "points": TRIANGLE, "shape_type": "rectangle"}]},
            "rectangle of 3 points",
        ),
        (
            {"shapes": [{"label": "v", "points": [[1, 1]], "shape_type": "linestrip", "line_width": 2}]},
            "fewer than two",
        ),
        (
            {"shapes": [{"label": "v", "points": TRIANGLE, "shape_type": "linestrip", "line_width": 0}]},
            "line_width must be a positive number",
        ),
        (
            {"shapes": [{"label": "v", "points": TRIANGLE[:2], "shape_type": "mask", "mask": "*"}]},
            "mask is not base64",
        ),
        (
            {"shapes": [{"label": "v", "points": TRIANGLE[:2], "shape_type": "mask", "mask": "AAAA"}]},
            "mask does not open as an image",
        ),
        (
            {"shapes": [{"label": "v", "points": TRIANGLE[:2], "shape_type": "mask", "mask": PIXEL}]},
            "does not fill the box",
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
    assert np.array_equal(points_of(read(source.root)[0], 0), points)
