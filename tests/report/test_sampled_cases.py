"""Of very many cases a sample is shown one by one, and says so; every number and every figure is of all."""

import json
import re

import pandas as pd
import pytest
from stages import render_report

from refvessel.metrics.cases import read_cases
from refvessel.report import shown_cases
from refvessel.report.worst_cases import failures

MOST = 5


@pytest.fixture(scope="module")
def sampled(usual, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shown_cases, "MOST_SHOWN", MOST)
        output = tmp_path_factory.mktemp("sampled") / "report"
        render_report(**usual.inputs, output=output)
    return output


@pytest.fixture(scope="module")
def cases(usual):
    return read_cases(usual.root / "scores/demo/demo/test/cases.parquet")[0]


def test_tables_and_figures_are_those_of_all_cases(usual, sampled):
    whole = usual.root / "report"
    names = {
        path.relative_to(whole) for folder in ("tables", "figures") for path in (whole / folder).iterdir()
    }
    assert {path.suffix for path in names} >= {".csv", ".tex", ".svg"}
    for name in names:
        assert (sampled / name).read_bytes() == (whole / name).read_bytes(), name


def test_the_cases_page_has_whole_images_and_the_worst_cases(sampled, cases):
    page = (sampled / "cases.html").read_text("utf-8")
    blocks = dict(re.findall(r'<script type="application/json" id="([^"]+)">(.*?)</script>', page, re.DOTALL))
    shown = json.loads(blocks["table"])["columns"]["sent_id"]
    worst = {sent_id for some in failures(cases).values() for sent_id in some["sent_id"]}
    assert worst <= set(shown) < set(cases["sent_id"])
    others = cases[cases["sent_id"].isin(set(shown) - worst)]
    assert len(others) <= MOST
    assert others["image_id"].nunique() > 0
    told = f"demo.demo.test: {len(shown)} of {len(cases)} cases are here"
    assert told in page
    masks = json.loads(blocks["masks-0"])
    assert all(each["counts"] for each in masks)


def test_the_report_says_how_many_cases_are_shown(sampled, cases):
    page = (sampled / "index.html").read_text("utf-8")
    (told,) = re.findall(r"(\d+) of (\d+) cases with their masks", page)
    assert int(told[1]) == len(cases)
    assert "Every case with its masks" not in page
    outputs = json.loads((sampled / "manifest.json").read_text("utf-8"))["outputs"]
    assert outputs["cases.html"]["caption"].startswith("Cases with their masks")


def test_the_sample_is_of_whole_images_and_the_same_whatever_the_scores(cases, monkeypatch):
    many = pd.concat(
        [
            cases.assign(sent_id=cases["sent_id"] + 100 * n, image_id=cases["image_id"] + f"_{n}")
            for n in range(9)
        ]
    )
    many = many.assign(truth_pixels=0, predicted_pixels=0, status="ok")  # nothing is among the worst
    monkeypatch.setattr(shown_cases, "MOST_SHOWN", 20)
    shown = shown_cases.sample(many)
    assert 0 < len(shown) <= 20
    of_image = many[many["image_id"].isin(shown["image_id"])]
    assert of_image["sent_id"].tolist() == shown["sent_id"].tolist()
    other = shown_cases.sample(many.assign(dice=0.0)[::-1])
    assert set(other["sent_id"]) == set(shown["sent_id"])
