import json

import numpy as np
import pandas as pd
import pytest
from stages import render_report

from refvessel.errors import UserError
from refvessel.files import sha256_of_file
from refvessel.spreadsheets import read_csv


@pytest.fixture(scope="module")
def compared_once(new_workspace, make_cases, tmp_path_factory):
    """Two models on the same ten expressions; the second one's masks are cut."""
    workspace, cases = new_workspace(tmp_path_factory.mktemp("compared") / "results"), make_cases()
    workspace.add(cases)
    cut = np.arange(48) % 2 > 0
    workspace.add([case | {"prediction": case["prediction"] & cut} for case in cases], model="other")
    workspace.compare()
    return workspace


@pytest.fixture
def compared(compared_once, tmp_path):
    """A copy of them, free to be changed."""
    return compared_once.copied(tmp_path / "results")


def report_of(workspace) -> str:
    render_report(**workspace.inputs, output=workspace.root / "report")
    return " ".join((workspace.root / "report/index.html").read_text("utf-8").split())


@pytest.mark.usefixtures("without_figures")
def test_the_tests_and_the_ranks_stand_in_the_report_and_its_tables(compared):
    html = report_of(compared)
    content = json.loads(compared.comparisons[0].read_text("utf-8"))
    tests = pd.read_csv(compared.root / "report/tables/comparisons.csv")
    assert tests["difference"].tolist() == [row["difference"] for row in content["tests"]]
    assert f"{content['tests'][0]['difference']:.3f}" in html
    ranking = pd.read_csv(compared.root / "report/tables/ranking.csv")
    assert ranking.loc[ranking["score"] == "dice", "model"].tolist() == ["demo", "other"]
    assert set(ranking["dataset"]) == {"demo"}
    manifest = json.loads((compared.root / "report/manifest.json").read_text("utf-8"))
    assert manifest["outputs"]["tables/ranking.csv"]["sources"] == {
        f"demo.test/{name}": sha256_of_file(compared.comparisons[0].parent / name)
        for name in ("comparison.json", "ranking.csv")
    }


@pytest.mark.usefixtures("without_figures")
def test_models_with_equal_predictions_are_named_on_the_first_page(workspace, make_cases):
    for model in ("demo", "copy"):
        workspace.add(make_cases(), model=model)
    workspace.compare()
    findings = report_of(workspace).partition('id="comparison"')[0]
    assert "8 of 10 predictions of the two models are equal. (equal_between demo and copy)" in findings


@pytest.mark.parametrize("change", ["other cases", "other ranking", "no ranking", "no provenance"])
def test_a_comparison_of_something_else_is_refused(compared, make_cases, change):
    folder = compared.comparisons[0].parent
    if change == "other cases":
        compared.evaluations.pop()
        compared.add(make_cases(), model="other")
    elif change == "other ranking":
        (folder / "ranking.csv").write_text("score,model\n")
    elif change == "no ranking":
        (folder / "ranking.csv").unlink()
    else:
        (folder / "comparison.json").write_text("{}")
    with pytest.raises(UserError, match=r"compare the models again\.$"):
        render_report(**compared.inputs, output=compared.root / "report")


@pytest.mark.usefixtures("without_figures")
def test_models_keep_their_names_and_every_mean_says_over_how_many(workspace, make_cases):
    """`NA` is no missing value, `007` no number and `-1` no formula."""
    cases = make_cases()
    for shift, model in enumerate(("NA", "007", "-1")):
        moved = [case | {"prediction": np.roll(case["prediction"], shift, axis=0)} for case in cases]
        workspace.add(moved, model=model)
    folder = workspace.compare()
    compared = read_csv(folder / "ranking.csv", texts=("score", "model"))
    assert set(compared["model"]) == {"NA", "007", "-1"}
    assert set(compared.loc[compared["score"] == "dice", "n_expressions"]) == {10}
    html = report_of(workspace)
    for model in ("NA", "007", "-1"):
        assert f'</th><td>{model}</td><td class="number">' in html
    assert "'-1" not in html
