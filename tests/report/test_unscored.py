"""Evaluations without truth, and first looks, in the report: nobody can take them for something else."""

import html
import json
import re

import pandas as pd
import pytest
from stages import render_report

from refvessel.dataset.tree.stated_facts import FirstLook
from refvessel.errors import UserError
from refvessel.files import write_json
from refvessel.report.sections import Evaluation


def without_truth(workspace, model="demo", dataset="new"):
    """What `add` makes of an evaluation, its scores taken away and its truth denied."""
    one = workspace.evaluations.pop()
    described = workspace.datasets[dataset] / "dataset.json"
    write_json(described, json.loads(described.read_text()) | {"truth": False})
    workspace.evaluations.append(
        Evaluation(model, dataset, "test", scores_dir=None, predictions=one.predictions)
    )


def text_of(page):
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", page.read_text("utf-8"))).split())


@pytest.fixture(scope="module")
def both(new_workspace, make_cases, tmp_path_factory):
    """A report of a first look, and of an evaluation without truth."""
    workspace = new_workspace(tmp_path_factory.mktemp("both"))
    workspace.add(make_cases(), looked_at=FirstLook(2, 40))
    workspace.add(make_cases(), model="other", looked_at=FirstLook(2, 40))
    workspace.compare()
    workspace.add(make_cases(), dataset="new")
    without_truth(workspace)
    render_report(**workspace.inputs, output=workspace.root / "report")
    return workspace.root / "report"


def test_the_first_page_says_that_there_is_no_truth(both):
    text = text_of(both / "index.html")
    findings = text[: text.index("All evaluations Scores over")]
    assert "Model demo, dataset new, split test: no truth, not scored" in findings
    assert "Nothing here says how good the masks are." in findings
    assert "No truth: not scored." in text[len(findings) :]


def test_it_has_counts_and_examples_and_no_score(both):
    table = pd.read_csv(both / "tables/unscored.csv")
    assert table["phrase"].tolist() == ["blood vessel", "catheter"]
    assert "dice_mean" not in table
    assert set(pd.read_csv(both / "tables/overall.csv")["dataset"]) == {"demo"}
    manifest = json.loads((both / "manifest.json").read_text())
    (figure,) = [name for name in manifest["outputs"] if name.endswith("demo.new.test.examples_1.svg")]
    assert "demo.new.test/predictions.parquet" in manifest["outputs"][figure]["sources"]


def test_a_first_look_is_told_on_the_first_page_in_comparisons_and_in_tables(both):
    text = text_of(both / "index.html")
    findings = text[: text.index("All evaluations Scores over")]
    told = "A first look: 2 of the split's 40 patients; not the whole data set."
    assert findings.count(told) == 1  # of two models and their comparison
    assert "a first look: not all 40 patients" in findings
    assert "a first look at 40" in text[len(findings) :]
    assert set(pd.read_csv(both / "tables/overall.csv")["first_look_of_n_patients"]) == {40}


def test_and_in_the_summary_and_the_comparison(both):
    for file in ("scores/demo/demo/test/summary.json", "comparisons/demo/test/comparison.json"):
        content = json.loads((both.parent / file).read_text())
        assert content["settings"]["first_look"] == {"patients": 2, "of": 40}


def test_a_report_may_have_nothing_that_is_scored(new_workspace, make_cases, tmp_path):
    workspace = new_workspace(tmp_path)
    workspace.add(make_cases(), dataset="new")
    without_truth(workspace)
    render_report(**workspace.inputs, output=tmp_path / "report")
    assert "not scored" in text_of(tmp_path / "report/index.html")
    assert [path.name for path in (tmp_path / "report/tables").iterdir()] == ["unscored.csv"]


def test_what_has_a_truth_is_not_shown_without_its_scores(usual, tmp_path):
    one = usual.evaluations[0]
    unscored = [Evaluation(one.model, one.dataset, one.split, scores_dir=None, predictions=one.predictions)]
    with pytest.raises(UserError, match="says that there is a truth"):
        render_report(
            **(usual.inputs | {"evaluations": unscored, "comparisons": []}), output=tmp_path / "report"
        )
