"""Files that are small and ask for much, or hold what no file should: one sentence each, at once."""

import hashlib
import io
import json
import random
import time

import numpy as np
import pytest
from PIL import Image

from refvessel.dataset.images.pixels import clean_image
from refvessel.dataset.images.rewrap import rewrap_jpeg
from refvessel.dataset.regions.polygons import as_polygon
from refvessel.dataset.tree.expressions import INSTANCES, REFS, read_expressions
from refvessel.dataset.tree.refs import read_refs, write_refs
from refvessel.errors import UserError
from refvessel.rle import is_rle, run_lengths

TRIANGLE = [[2, 2], [20, 4], [8, 25]]


@pytest.fixture
def refused(convert):
    """Convert, expecting a refusal of one line within seconds that matches `reason`."""

    def run(reason: str, *arguments, **named) -> None:
        start = time.monotonic()
        with pytest.raises(UserError, match=reason) as caught:
            convert(*arguments, **named)
        assert "\n" not in str(caught.value)
        assert time.monotonic() - start < 30

    return run


def strip(points, **fields):
    return {"label": "vessel", "shape_type": "linestrip", "points": points} | fields


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        ([strip([[2, 2], [30, 20]], line_width=1e8)], "a line of 1e\\+08 pixels, wider than its image"),
        ([strip([[2, 2], [30, 20]], line_width=10**400)], "must be a positive number"),
        ([strip([[2, 2], [30, 20]], line_width=float("inf"))], "must be a positive number"),
        ([strip([[2, 2], [38, 28]] * 60_000, line_width=3)], r"an outline of \d+ pixels, more than"),
        ([{"label": "vessel", "points": [[0, 0], [39, 29], [39, 0]] * 60_000}], "pixels, more than 4000000"),
        ([{"label": "vessel", "points": [[1, 1]] * 200_001}], "has 200001 points, more than 200000"),
        ([{"label": "vessel", "points": [[10**400, 1], [1, 1], [2, 2]]}], "not a finite number"),
        ([{"label": "vessel", "points": [[1e300, 1], [1, 1], [2, 2]]}], "not a finite number"),
        ([{"label": "vessel", "points": [float("nan"), 1, 1, 2, 3, 3]}], "not a finite number"),
        ([{"label": ["x"] * 100, "points": TRIANGLE}], "must be text"),
        ([[[[["x" * 10_000]]]]], "stands where an object is needed"),
    ],
)
def test_a_labelme_shape_that_asks_for_too_much(source, refused, shapes, reason):
    source.labelme("a.png", shapes=shapes)
    refused(reason)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"imageWidth": "9" * 5000}, "not valid JSON"),
        ({"imageWidth": "9" * 400}, "more than 63 bits"),
        ({"imageWidth": "1e400"}, "must be a whole number"),
        ({"imageWidth": 10**9, "imageHeight": 10**9}, "more than the 178956970 pixels"),
        ({"imagePath": "[" * 900 + "]" * 900}, "must be text"),
        ({"imagePath": '"%s.png"' % ("x" * 300)}, "usable path"),
        ({"imagePath": '"%s/a.png"' % ("x/" * 3000)}, "usable path"),
        ({"shapes": r'[{"label": "\ud800", "points": [1, 1, 9, 1, 9, 9]}]'}, "half a character"),
    ],
)
def test_labelme_fields_that_no_program_writes(source, refused, fields, reason):
    source.image("a.png")
    written = {"shapes": "[]", "imagePath": '"a.png"', "imageWidth": 40, "imageHeight": 30} | fields
    items = (f'"{name}": {text}' for name, text in written.items())
    (source.root / "a.json").write_text("{" + ", ".join(items) + "}")
    refused(reason)


def test_a_link_to_itself_is_named(source, refused):
    source.labelme("a.png")
    (source.root / "loop.json").symlink_to("loop.json")
    refused("loop")


def test_a_name_that_is_too_long_for_the_tree_is_told(source, refused):
    source.labelme("/".join(["x" * 100] * 3) + "/a.png")
    refused("too long", pseudonymise=False)


@pytest.fixture
def tree(source, convert, tmp_path):
    source.labelme("a.png")
    convert()
    return tmp_path / "tree"


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("width", 10**9, "more than the 178956970 pixels"),
        ("id", 2**70, "more than 63 bits"),
        ("spacing", [10**400, 1], "spacing"),
        ("file_name", "x" * 300 + ".png", "does not exist"),
    ],
)
def test_an_image_of_a_tree_that_cannot_be(tree, field, value, reason):
    content = json.loads((tree / INSTANCES).read_text())
    content["images"][0] |= {field: value} | ({"height": 10**9} if field == "width" else {})
    (tree / INSTANCES).write_text(json.dumps(content))
    with pytest.raises(UserError, match=reason):
        read_expressions(tree, "test")


@pytest.mark.parametrize(
    "rle",
    [
        {"size": [10**9, 10**9], "counts": "PPPPPPPP1"},
        {"size": [30, 40], "counts": "oooooo1"},
        {"size": [30, 40], "counts": [2**33, 1200 - 2**33]},
        {"size": [30, 40], "counts": [2**32 + 1200]},
        {"size": [30, 40], "counts": [-1, 1201]},
        {"size": [10**400, 1], "counts": [1]},
        {"size": ["x" * 10_000] * 2, "counts": [1]},
    ],
)
def test_run_lengths_beyond_the_image(tree, rle):
    assert not is_rle(rle)
    content = json.loads((tree / INSTANCES).read_text())
    content["annotations"][0]["segmentation"] = [rle]
    (tree / INSTANCES).write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"its RLE|the counts") as caught:
        read_expressions(tree, "test")
    assert len(str(caught.value)) < 1000


def test_a_mask_of_more_pixels_than_run_lengths_count_is_none():
    height, width = 70_000, 70_000
    digits, left = [], height * width
    while left > 15:
        digits.append(chr(48 + (left & 31) + 32))
        left >>= 5
    digits.append(chr(48 + left))
    assert run_lengths("".join(digits)).sum() == height * width
    assert not is_rle({"size": [height, width], "counts": "".join(digits)})


def test_pairs_of_a_million_points_are_looked_at_once():
    with pytest.raises(UserError, match="more than 200000"):
        as_polygon(np.zeros((1_000_000, 2)).tolist(), "shape")


def test_a_pattern_that_backtracks_is_given_up(source, refused):
    source.labelme("a" * 60 + "!.png")
    refused("patient_pattern .* takes too long", patient_pattern=r"(?P<patient>(a|a)*)$")


def test_a_template_that_backtracks_is_given_up(source, refused):
    Image.new("L", (40, 30)).save(source.root / ("a" * 60 + "!.png"))
    refused("images .* takes too long", "masks", options={"images": "{name:(a|aa)+}{rest:[!?][?]}.png"})


def encoded(form: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (40, 30), 99).save(buffer, form, **options)
    return buffer.getvalue()


def test_damaged_images_are_read_or_refused_in_one_sentence():
    """What decoders forgive, rewrapping and counting the file's images must not stumble over."""
    chance = random.Random(3)
    tiff = encoded("TIFF", save_all=True, append_images=[Image.new("L", (40, 30))])
    for content in (encoded("JPEG"), encoded("PNG"), encoded("TIFF"), encoded("GIF"), tiff):
        for _ in range(150):
            changed = bytearray(content)
            for _ in range(chance.randint(1, 4)):
                place = chance.randrange(len(changed))
                changed[place : place + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
            try:
                clean = clean_image(bytes(changed), None, "a.png")
            except UserError:
                continue
            with Image.open(io.BytesIO(clean.content)) as again:
                pixels = np.asarray(again.convert("RGB"))
            assert hashlib.sha256(pixels.tobytes()).hexdigest() == clean.pixels_sha256


@pytest.mark.parametrize(
    "rest", [b"", b"\xff", b"\xff\xd8", b"\xff\xda\0", b"\xff\xe0\0\x10JF", b"junk\xff\xd9"]
)
def test_a_jpeg_out_of_order_is_not_rewrapped(rest):
    assert rewrap_jpeg(b"\xff\xd8" + rest) is None


def test_an_annotation_that_a_ref_names_a_million_times_is_drawn_once(tree):
    (ref,) = read_refs(tree / REFS)
    (expression,) = read_expressions(tree, "test")
    write_refs(tree / REFS, [ref | {"ann_id": [ref["ann_id"]] * 1_000_000}])
    start = time.monotonic()
    assert read_expressions(tree, "test") == [expression]
    assert time.monotonic() - start < 30
