"""Bad input of LabelMe and Sa2VA files and bad arguments: one clear sentence each, nothing written."""

import numpy as np
import pytest

from refvessel.errors import UserError

pytestmark = pytest.mark.usefixtures("converted_here")

TRIANGLE = [[2, 2], [20, 4], [8, 25]]
SQUARE = [[10, 10], [30, 10], [30, 28], [10, 28]]


def flat(polygon) -> list[float]:
    return np.asarray(polygon, float).ravel().tolist()


def _spoilers():
    def write(name, content):
        return lambda source: (source.root / name).write_bytes(content)

    def entry(name, *regions, **fields):
        return lambda source: source.labelme(name, regions, **fields)

    def same_id(source):
        source.image("p1_01.jpg")
        source.labelme("copy.png", [("vessel", SQUARE)], image=False, imagePath="p1_01.jpg")

    truncated = b"\x89PNG\r\n\x1a\n" + bytes(20)
    yield "zero bytes", r"p1_01\.png does not open", write("p1_01.png", b""), {}
    yield "truncated", r"p1_01\.png does not open", write("p1_01.png", truncated), {}
    yield "missing image", r"p2\.json: the image 'p2\.png' does not exist", entry("p2.png", image=False), {}
    yield (
        "two points",
        r"p2\.json: shape 1 has fewer than three",
        entry("p2.png", ("vessel", TRIANGLE[:2])),
        {},
    )
    yield "empty label", r"p2\.json: shape 1 has no text", entry("p2.png", ("", TRIANGLE)), {}
    yield "outside", r"shape 1 lies outside", entry("p2.png", ("vessel", [[90, 2], [99, 4], [95, 25]])), {}
    yield "swapped size", "swapped", entry("p2.png", ("vessel", TRIANGLE), imageWidth=30, imageHeight=40), {}
    yield (
        "unknown label",
        "the label 'bone'",
        entry("p2.png", ("bone", TRIANGLE)),
        {"phrases": {"vessel": "v"}},
    )
    yield "empty phrase", "phrase without text", entry("p2.png"), {"phrases": {"vessel": " "}}
    yield "no phrases", "phrases is empty", entry("p2.png"), {"phrases": {}}
    yield (
        "two files for one image",
        r"copy\.json and .*p1_01\.json both annotate p1_01\.png|p1_01\.json and .*copy\.json both annotate",
        entry("copy.png", ("vessel", TRIANGLE), image=False, imagePath="p1_01.png"),
        {},
    )
    yield "case", "differ by case only", entry("P1_01.png", ("vessel", SQUARE)), {}
    yield "same id", "get the same id", same_id, {"pseudonymise": False}
    yield "pattern", "finds no patient in 'q2'", entry("q2.png"), {"patient_pattern": r"(?P<patient>p\d)"}
    yield (
        "split name",
        "'sub' is not train",
        entry("sub/p1.png"),
        {"patient_pattern": PATTERN, "splits": RATIOS},
    )
    yield (
        "format",
        "'nifti' is unknown; choose one of: coco, dicom, images, labelme",
        entry("p2.png"),
        {"source_format": "nifti"},
    )
    yield "split", "'all' is not train", entry("p2.png"), {"single_split": "all"}
    yield "both", "both given", entry("p2.png"), {"splits": RATIOS, "single_split": "test"}


PATTERN = r"^((?P<split>\w+)/)?(?P<patient>p\d)"
RATIOS = {"train": 0.5, "test": 0.5}
SPOILERS = list(_spoilers())


@pytest.mark.parametrize(
    ("reason", "spoil", "arguments"), [s[1:] for s in SPOILERS], ids=[s[0] for s in SPOILERS]
)
def test_bad_input_is_one_sentence_and_nothing_is_written(
    source, convert, tmp_path, reason, spoil, arguments
):
    source.labelme("p1_01.png")
    spoil(source)
    with pytest.raises(UserError, match=reason) as caught:
        convert(**arguments)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "key") == ["source"]


def test_all_problems_are_told_together(source, convert, tmp_path):
    source.labelme("good_1.png")
    source.labelme("thin_1.png", [("vessel", TRIANGLE[:2])])
    source.labelme("gone_1.png", image=False)
    source.labelme("zero_1.png")
    (source.root / "zero_1.png").write_bytes(b"")
    source.labelme("label_1.png", [("bone", TRIANGLE)])
    with pytest.raises(UserError) as caught:
        convert(phrases={"vessel": "blood vessel"})
    lines = str(caught.value).splitlines()
    assert lines[0] == "4 problems were found and nothing was written:"
    for name, told in zip(["gone_1", "label_1", "thin_1", "zero_1"], lines[1:], strict=True):
        assert told.startswith("- ")
        assert name in told
    assert not (tmp_path / "tree").exists()


def test_no_more_than_twenty_problems_are_told(source, convert):
    for number in range(30):
        source.labelme(f"p{number}.png", image=False)
    with pytest.raises(UserError) as caught:
        convert()
    lines = str(caught.value).splitlines()
    assert len(lines) == 22
    assert lines[0].startswith("At least 30 problems")
    assert lines[-1] == "- and 10 more."


def test_coordinates_of_another_size_need_a_stated_size(source, convert):
    large = (np.array(SQUARE) * 1.8).ravel().tolist()
    source.sa2va([{"image": "p1_01.png", "mask": [large], "text": ["vessel"]}])
    with pytest.raises(UserError, match=r"entry 1 \(p1_01\.png\): mask 1 spans .* state the size"):
        convert("sa2va")


def test_two_entries_of_one_image_are_refused(source, convert):
    source.sa2va([{"image": "p1_01.png", "mask": [flat(part)], "text": ["v"]} for part in (TRIANGLE, SQUARE)])
    with pytest.raises(UserError, match=r"entry 1 .*entry 2 .* both annotate p1_01\.png"):
        convert("sa2va")


@pytest.mark.parametrize("source_format", ["labelme", "sa2va"])
def test_data_without_an_expression_are_refused(source, convert, tmp_path, source_format):
    if source_format == "sa2va":
        source.sa2va([])
    with pytest.raises(UserError, match="holds no image with an expression"):
        convert(source_format)
    assert not (tmp_path / "tree").exists()
