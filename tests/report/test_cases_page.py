"""The cases page as a file: what it holds, and that nothing in it is taken for what it is not."""

import base64
import hashlib
import json
import re

import numpy as np
import pandas as pd
import pytest
from stages import render_report

from refvessel.errors import UserError
from refvessel.files import read_json, sha256_of_file
from refvessel.privacy.check import check_privacy
from refvessel.privacy.name_tables import Name, write_name_table
from refvessel.report import cases_page


def blocks(page):
    """The data of the page by the names of its elements."""
    found = re.findall(r'<script type="application/json" id="([^"]+)">(.*?)</script>', page, re.DOTALL)
    return {name: json.loads(text) for name, text in found}


def page_of(report):
    return (report / "cases.html").read_text("utf-8")


def test_the_page_has_every_number_of_the_table_of_cases(usual):
    data = blocks(page_of(usual.root / "report"))
    columns, texts = data["table"]["columns"], data["table"]["texts"]
    cases = pd.read_parquet(usual.root / "scores/demo/demo/test/cases.parquet")
    assert columns["sent_id"] == cases["sent_id"].tolist()
    for score in data["table"]["scores"]:
        shown = np.array(columns[score], float)
        np.testing.assert_allclose(shown, cases[score].astype(float), atol=5e-5)
    for name in ("image_id", "patient", "phrase", "status"):
        assert [texts[name][place] for place in columns[f"{name}_place"]] == cases[name].tolist()
    for shown, name in (("truth", "truth_mask"), ("prediction", "predicted_mask")):
        counts = [json.loads(text)["counts"] for text in cases[name]]
        assert [data["masks-0"][place]["counts"] for place in columns[shown]] == counts
    breaks = pd.read_parquet(usual.root / "scores/demo/demo/test/breaks.parquet")
    assert sum(len(case.get("breaks", [])) for case in data["details-0"]) == len(breaks) > 0


def test_its_one_script_and_its_style_are_known_by_their_hashes(usual):
    page = page_of(usual.root / "report")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1].replace("&#39;", "'")
    for element in ("script", "style"):
        (text,) = re.findall(f"<{element}>(.*?)</{element}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")


@pytest.fixture(scope="module")
def many(tmp_path_factory, new_workspace, make_cases):
    """A report whose pictures lie beside its page, of a phrase that would end a script."""
    workspace = new_workspace(tmp_path_factory.mktemp("many") / "results")
    workspace.add(make_cases(("</script><script>alert(1)</script><!--", "catheter")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cases_page, "_MOST_INLINED", 2)
        render_report(**workspace.inputs, output=workspace.root / "report")
    return workspace.root / "report"


def test_pictures_lie_beside_the_page_where_they_are_many_and_stand_in_the_manifest(many):
    pictures = blocks(page_of(many))["table"]["pictures"]
    assert len(pictures) == 5
    outputs = read_json(many / "manifest.json")["outputs"]
    for name in ("cases.html", *pictures):
        assert outputs[name]["sha256"] == sha256_of_file(many / name)


def test_no_phrase_ends_the_script_that_holds_it(many):
    page = page_of(many)
    assert "alert(1)" in page
    assert "<script>alert" not in page
    assert "</script><script>alert(1)</script><!--" in blocks(page)["table"]["texts"]["phrase"]


@pytest.mark.parametrize("name", ["Catheter^Ina", "image3"])
def test_a_name_in_the_data_of_the_page_is_found(many, tmp_path, name):
    write_name_table(tmp_path / "names" / "a.csv", [Name("patient", "p0123456789", name)])
    with pytest.raises(UserError, match=r"cases\.html"):
        check_privacy(many, [tmp_path / "names" / "a.csv"])


def test_numbers_of_the_page_are_nobodys(many, tmp_path):
    names = [Name("patient", f"p{number:010x}", f"{number:06d}") for number in range(0, 100_000, 7)]
    write_name_table(tmp_path / "names" / "a.csv", names)
    check_privacy(many, [tmp_path / "names" / "a.csv"])
