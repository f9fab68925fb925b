import json

import numpy as np
import pandas as pd
import pytest
from stages import render_report

from refvessel.errors import UserError
from refvessel.files import sha256_of_file
from refvessel.metrics.verdicts import Verdict
from refvessel.report.compared_models import read_comparison
from refvessel.report.difference_figures import patient_differences, shown_tests
from refvessel.report.first_screen import splits
from refvessel.report.plain_words import verdict_sentence
from refvessel.report.sections import read_artifacts
from refvessel.spreadsheets import read_csv


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
    assert "demo and other, Dice: 3 patients cannot show any difference; 7 are the fewest" in html
    assert "demo and other are equally good within the declared margin of 0.9 Dice" in html
    assert "3 patients are fewer than 50: every 95% interval is somewhat too narrow." in html
    assert {"sd", "detectable_difference", "patients_needed", "icc", "design_effect", "verdict"} <= {*tests}
    tables = {
        name: pd.read_csv(compared.root / f"report/tables/{name}.csv")
        for name in ("agreement", "trainings", "non_inferiority", "external", "overall")
    }
    assert set(tables["agreement"]["first"]) == {"mean", "mean_rank"}
    assert set(tables["trainings"]["trainings"]) == {"demo, other"}
    assert tables["non_inferiority"].loc[0, "margin"] == 0.9
    assert len(tables["external"]) == 2 * len(content["settings"]["scores"])
    assert 'id="external"' in html
    overall, cases = tables["overall"], pd.read_parquet(compared.evaluations[0].scores_dir / "cases.parquet")
    assert overall.loc[0, "dice_median"] == pytest.approx(cases["dice"].median())
    assert overall.loc[0, "dice_p5"] == pytest.approx(np.percentile(cases["dice"], 5))
    assert overall.loc[0, "hd95_p95"] == pytest.approx(np.percentile(cases["hd95"], 95))
    assert overall.loc[0, "dice_worst_patient"] == cases.groupby("patient")["dice"].mean().min()
    assert overall.loc[0, "hd95_worst_patient"] == cases.groupby("patient")["hd95"].mean().max()
    manifest = json.loads((compared.root / "report/manifest.json").read_text("utf-8"))
    assert manifest["outputs"]["tables/ranking.csv"]["sources"] == {
        f"demo.test/{name}": sha256_of_file(compared.comparisons[0].parent / name)
        for name in ("comparison.json", "ranking.csv")
    }


def test_the_differences_that_are_drawn_have_the_mean_that_is_stated(compared_once):
    tree = compared_once.datasets["demo"]
    artifacts = [
        read_artifacts(one, checkpoint=compared_once.checkpoints[one.model], dataset=tree)
        for one in compared_once.evaluations
    ]
    comparison = read_comparison(compared_once.comparisons[0], artifacts)
    (row,) = shown_tests(comparison)
    differences = patient_differences(comparison, row, artifacts)
    assert row["score"] == "dice"
    assert differences.tolist() == sorted(differences)
    assert differences.mean() == pytest.approx(row["difference"])
    (split,) = splits(artifacts, [comparison])
    assert split.verdict == verdict_sentence(row, len(comparison.content["tests"]))
    one, other = (
        (finding.text for finding in split.warnings if "equal their truth" in finding.text),
        split.notes,
    )
    assert [text.partition(":")[0] for text in one] == ["demo"]
    assert split.verdict not in [finding.text for finding in other]


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


ROW = {
    "score": "dice",
    "first": "new",
    "second": "old",
    "n_patients": 12,
    "difference": 0.004,
    "difference_low": -0.002,
    "difference_high": 0.01,
    "detectable_difference": 0.021,
    "patients_needed": 340,
    "sign_flip_p_holm": 0.3,
    "verdict": Verdict.BELOW_DETECTABLE,
}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {},
            "The difference of 0.0040 Dice between new and old is smaller than what these 12 patients can show "
            "(0.021): it may be chance. To show it would take about 340 patients.",
        ),
        (
            {"verdict": Verdict.NOT_SHOWN, "difference": 0.03, "patients_needed": 8},
            "The difference of 0.030 Dice between new and old is not shown: after correction for 3 tests chance "
            "is not ruled out (p = 0.300). To show it would take about 8 patients.",
        ),
        (
            {
                "verdict": Verdict.SHOWN,
                "difference": -0.03,
                "difference_low": -0.05,
                "difference_high": -0.01,
            },
            "old is better than new by 0.030 Dice (95% interval 0.010 to 0.050): these 12 patients show it "
            "(p = 0.300 after correction for 3 tests).",
        ),
        ({"verdict": Verdict.EQUAL}, "new and old have the same Dice in each of these 12 patients."),
    ],
)
def test_a_verdict_is_a_sentence(change, sentence):
    assert verdict_sentence(ROW | change, 3) == sentence


def test_of_an_error_the_smaller_is_the_better():
    shown = ROW | {"verdict": Verdict.SHOWN, "score": "hd95", "difference": 0.5, "sign_flip_p_holm": 0.0001}
    assert verdict_sentence(shown, 1).startswith("old is better than new by 0.500 HD95")
    assert "(p below 0.001 after correction for 1 test)" in verdict_sentence(shown, 1)


def test_other_data_sets_of_other_cases_are_refused(compared):
    read = json.loads(compared.external.read_text("utf-8"))
    read["provenance"]["cases"][0]["sha256"] = "0" * 64
    compared.external.write_text(json.dumps(read), "utf-8")
    with pytest.raises(UserError, match=r"compare the data sets again\.$"):
        render_report(**compared.inputs, output=compared.root / "report")
