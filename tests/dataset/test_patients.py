from collections.abc import Callable
from pathlib import Path

import pytest

from refvessel.dataset.patients.stated import Origin, Origins, PatientPattern
from refvessel.dataset.readers.records import Record
from refvessel.errors import UserError


def test_a_pattern_may_name_patient_frame_and_split():
    pattern = PatientPattern(r"^(?P<split>\w+)/(?P<patient>\d+)-(?P<frame>\d+)$")
    assert pattern.origin("test/17-3.png") == Origin("17", 3, "test")


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [("(?P<patient>", "not a regular expression"), (r"(\d+)", r"no group \(\?P<patient>")],
)
def test_an_unusable_pattern_is_refused(pattern, reason):
    with pytest.raises(UserError, match=reason):
        PatientPattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (r"^(?P<patient>\d+)_", "finds no patient in 'a/p1_01'"),
        (r"(?P<patient>\d*)", "finds no patient"),
        (r"(?P<patient>p\d+)_(?P<frame>\w+)", "the frame 'x'"),
    ],
)
def test_an_image_that_the_pattern_does_not_describe_is_named(pattern, reason):
    name = "a/p1_x.png" if "frame" in reason else "a/p1_01.png"
    with pytest.raises(UserError, match=f"^{name}: .*{reason}"):
        PatientPattern(pattern).origin(name)


def record(name: str, **fields) -> Record:
    return Record(name, Path(name), None, name, **fields)


@pytest.fixture
def table(tmp_path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "patients.csv"
        path.write_text(text)
        return path

    return write


def test_a_table_says_who_is_on_an_image(table):
    path = table("image,patient,frame,split\na/1.png,Zhang Wei,3,val\na/2,Zhang Wei,,\nother.png,x,,\n")
    origins = Origins(None, path, own_splits=True)
    assert origins.of(record("a/1.png")) == Origin("Zhang Wei", 3, "val")
    assert origins.of(record("a/2.tif", frame=9, split="test")) == Origin("Zhang Wei", 9, "test")
    with pytest.raises(UserError, match=r"a/3\.png is not in .*patients\.csv; add a row"):
        origins.of(record("a/3.png"))


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffimage,patient\r\nward 7/Müller_1.png,p1\r\n",
        "image, patient\nward 7/Müller_1, p1\n\n",
        'patient,image\n"p1","ward 7\\Müller_1.png"\n',
        "image,patient\n./ward 7/Mu\u0308ller_1.png,p1\n",
    ],
    ids=["as Excel writes it", "blanks and empty lines", "quotes and backslashes", "decomposed characters"],
)
def test_a_table_is_read_as_programs_write_it(table, text):
    origins = Origins(None, table(text), own_splits=True)
    assert origins.of(record("ward 7/Müller_1.png")).patient == "p1"
    assert origins.of(record("ward 7/Mu\u0308ller_1.png")).patient == "p1"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("image,who\na,b\n", "has no column 'patient' but 'image', 'who'; name the columns"),
        ("image;patient\na;b\n", "has no column 'image' but 'image;patient'; .* separated by commas"),
        ("", "has no column 'image' but none"),
        ("image,patient\na,\n", "line 2 has no image or no patient"),
        ("image,patient,frame\na,b,x\n", "frame 'x' is not a number"),
        ("image,patient\na.png,b\na,c\n", "line 3: the image a is listed before with other values"),
    ],
)
def test_an_unusable_table_is_refused_with_its_line(table, text, reason):
    with pytest.raises(UserError, match=rf"patients\.csv.* {reason}"):
        Origins(None, table(text), own_splits=True)


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.csv cannot be read as CSV"):
        Origins(None, tmp_path / "gone.csv", own_splits=True)


def test_a_pattern_goes_before_the_data_and_the_data_before_the_name():
    known = record("p1_2.png", patient="0815", frame=7, split="test")
    assert Origins(None, None, own_splits=True).of(known) == Origin("0815", 7, "test")
    assert Origins(None, None, own_splits=False).of(known) == Origin("0815", 7, None)
    pattern = r"(?P<patient>p\d)_(?P<frame>\d)"
    assert Origins(pattern, None, own_splits=True).of(known) == Origin("p1", 2, "test")
    assert Origins(None, None, own_splits=True).of(record("p1_2.png")) == Origin("p1", 2, None, stated=False)


def test_pattern_and_table_exclude_each_other(table):
    with pytest.raises(UserError, match="both given"):
        Origins("(?P<patient>.)", table("image,patient\na,b\n"), own_splits=True)
