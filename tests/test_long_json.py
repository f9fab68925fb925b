"""JSON read and written item by item is what the standard library reads and writes at once."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refvessel import long_json
from refvessel.errors import UserError
from refvessel.files import write_json
from refvessel.long_json import ReadWholeError, read_around_lists, write_long_json

NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text('aé"\\]},😀\n'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("kü", max_size=2), inner, max_size=3),
    max_leaves=8,
)
FEW = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FEW
@given(
    items=st.lists(VALUES, max_size=6), other=VALUES, indent=st.sampled_from([None, 1]), ascii_=st.booleans()
)
def test_items_are_found_with_their_places(items, other, indent, ascii_, tmp_path, monkeypatch):
    monkeypatch.setattr(long_json, "_AT_ONCE", 7)
    path = tmp_path / "value.json"
    text = json.dumps({"before": other, "items": items, "after": 12}, indent=indent, ensure_ascii=ascii_)
    path.write_text(text, "utf-8")
    found, content = [], path.read_bytes()

    def visit(item, begin, end):
        found.append(item)
        assert json.loads(content[begin:end]) == item

    assert read_around_lists(path, {"items": visit}) == {"before": other, "after": 12}
    assert found == items


@FEW
@given(items=st.lists(VALUES, max_size=3), other=VALUES)
def test_what_is_written_item_by_item_has_the_same_bytes(items, other, tmp_path):
    for name, whole, streamed in (
        ("list", items, iter(items)),
        ("field", {"one": other, "items": items}, {"one": other, "items": iter(items)}),
    ):
        write_json(tmp_path / f"{name}.json", whole)
        write_long_json(tmp_path / f"{name}.long.json", streamed)
        assert (tmp_path / f"{name}.json").read_bytes() == (tmp_path / f"{name}.long.json").read_bytes()


@pytest.mark.parametrize(
    "content",
    ['{"items": [1, 2', '{"items": [1 2]}', "[1]", '{"a": 1, "a": 2}', '{"a": 1} x', "", "\0{"],
)
def test_what_is_damaged_or_unusual_is_left_to_the_reader_of_whole_files(content, tmp_path):
    (tmp_path / "value.json").write_text(content)
    with pytest.raises(ReadWholeError):
        read_around_lists(tmp_path / "value.json", {"items": long_json.ignored})


def test_half_a_character_is_refused(tmp_path):
    (tmp_path / "value.json").write_text('{"items": ["\\ud83d"]}')
    with pytest.raises(UserError, match="half a character"):
        read_around_lists(tmp_path / "value.json", {"items": long_json.ignored})
