"""YAML from strangers is parsed within bounds."""

import time
from datetime import date

import pytest

from refvessel.errors import UserError
from refvessel.files import read_yaml
from refvessel.yaml_text import parse_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1\nb: [x, 2.5, yes, null]", {"a": 1, "b": ["x", 2.5, True, None]}),
        ("day: 2024-02-29", {"day": date(2024, 2, 29)}),
        (
            "base: &b {x: 1}\nother: {<<: *b, y: 2}\nsame: *b",
            {"base": {"x": 1}, "other": {"x": 1, "y": 2}, "same": {"x": 1}},
        ),
        ("over: {<<: {x: 1}, x: 2}", {"over": {"x": 2}}),
        ("", None),
        ("\ufeffa: ü", {"a": "ü"}),
        ("long: '" + "x" * 5000 + "'", {"long": "x" * 5000}),
    ],
)
def test_what_people_write_is_read(text, value):
    assert parse_yaml(text, "my.yaml") == value
    assert parse_yaml(text.encode(), "my.yaml") == value


def laughs(levels: int, opened: str = "[", closed: str = "]", item: str = "*{}") -> str:
    lines = ["a0: &a0 [lol, lol]" if opened == "[" else "a0: &a0 {x: 1}"]
    for level in range(1, levels):
        lines.append(
            f"a{level}: &a{level} " + opened + ", ".join([item.format(f"a{level - 1}")] * 9) + closed
        )
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (laughs(12), "more than 100000 values"),
        (laughs(12, "{<<: [", "]}"), "more than 100000 values"),
        ("a: &a [1, *a]", "inside of what it names"),
        ("a: &a {<<: *a}", "inside of what it names"),
        ("[" * 1000, "deeper than 50"),
        ("- " * 1000, "deeper than 50"),
        ("{a: " * 1000, "deeper than 50"),
        ("a: " + "9" * 5000, "unquoted value of 5000"),
        ("a: " + ":".join(["59"] * 5000), "unquoted value"),
        ("a: !!int '" + "9" * 5000 + "'", "unquoted value"),
        ("x" * (2 << 20), "longer than"),
        ("[" + "1," * 200_000 + "]", "more than 100000 values"),
        ("a: 1\nb: 2\na: 3", "'a' is given twice"),
        ("a: .inf", "not a finite number"),
        ("a: .NaN", "not a finite number"),
        ("a: 1.0e+400", "not a finite number"),
        ("a: 2024-13-45", "not valid YAML"),
        ("a: 2024-01-01 25:61:61", "not valid YAML"),
        ("a: !!python/object/apply:os.system [x]", "not valid YAML"),
        ("? [a]\n: 1", "not valid YAML"),
        ("? {a: b}\n: 1", "not valid YAML"),
        ("a: *nothing", "not valid YAML"),
        ("a: 1\n---\nb: 2", "not valid YAML"),
        ("a: \x00", "not valid YAML"),
        (b"\xff\xfe\xfa", "not valid YAML"),
        (b"a: \xff", "not valid YAML"),
        ("a: !!binary '\u00fc'", "not valid YAML"),
        ("a: !!float x", "not valid YAML"),
        ("a: !!timestamp x", "not valid YAML"),
        ("a: !!bool x", "not valid YAML"),
        ("a: !!set x", "not valid YAML"),
        ("a: !!omap [1]", "not valid YAML"),
        ("<<: 1", "not valid YAML"),
        ('a: "\\ud800"', "half a character"),
    ],
)
def test_what_is_beyond_the_bounds_is_one_sentence_at_once(text, reason):
    start = time.process_time()  # however busy the machine is
    with pytest.raises(UserError, match=reason) as raised:
        parse_yaml(text, "my.yaml")
    assert str(raised.value).startswith("my.yaml ")
    assert "\n" not in str(raised.value)
    assert time.process_time() - start < 10


def test_a_file_is_read_within_the_same_bounds(tmp_path):
    path = tmp_path / "my.yaml"
    path.write_text("a: 1")
    assert read_yaml(path) == {"a": 1}
    path.write_text(laughs(12))
    with pytest.raises(UserError, match=r"my\.yaml has more than"):
        read_yaml(path)
    with pytest.raises(UserError, match="does not exist"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="could not be read"):
        read_yaml(tmp_path)
