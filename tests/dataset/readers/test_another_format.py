"""The documentation's own example of another format: what it says is all that one takes."""

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from refvessel.dataset.readers import FORMATS, formats
from refvessel.dataset.readers.records import Record
from refvessel.dataset.readers.source_files import locate, visible_files
from refvessel.dataset.regions.polygons import as_polygon
from refvessel.dataset.regions.shapes import Polygon, Region
from refvessel.errors import UserError

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs/developing.md"


@pytest.fixture
def example(monkeypatch):
    section = PAGE.read_text("utf-8").partition("### Another format")[2]
    module = re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]
    names = {each.__name__: each for each in (Polygon, Record, Region, as_polygon, locate, visible_files)}
    exec(module, names)
    monkeypatch.setitem(sys.modules, "refvessel.dataset.readers.text", SimpleNamespace(read=names["read"]))
    monkeypatch.setattr(formats, "FORMATS", (*FORMATS, "text"))


def test_a_format_is_one_module_and_one_line(example, source, convert):
    source.image("p1_1.png")
    (source.root / "p1_1.txt").write_text("2 2 20 4 8 25\n10 10 30 10 30 28 10 28\n")
    counts = convert("text")["counts"]
    assert (counts["images"], counts["regions"]) == (1, 2)


def test_all_formats_are_known_by_one_line():
    line = re.search(r"```python\n(FORMATS = .*)\n```", PAGE.read_text("utf-8"))[1]
    names = {}
    exec(line, names)
    assert names["FORMATS"] == (*FORMATS, "text")
    assert all(callable(formats.reader_of(name)) for name in FORMATS)
    schema = json.loads((ROOT / "workflow/schemas/config.schema.json").read_text())
    assert schema["$defs"]["Dataset"]["properties"]["format"]["enum"] == list(FORMATS)


def test_its_problems_are_told_like_others(example, source, convert):
    source.image("p1_1.png")
    (source.root / "p1_1.txt").write_text("2 2 20 4\n")
    with pytest.raises(UserError, match=r"p1_1\.txt has fewer than three points"):
        convert("text")
