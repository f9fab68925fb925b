"""Where cIoU and gIoU are not the official evaluator's, this stands beside them."""

import pandas as pd
import pytest
from stages import render_report

from refvessel.metrics.official import OfficialReading


def report_of(workspace) -> str:
    render_report(**workspace.inputs, output=workspace.root / "report")
    return " ".join((workspace.root / "report/index.html").read_text("utf-8").split())


@pytest.mark.usefixtures("without_figures")
def test_a_difference_is_told_on_the_first_page_beside_the_numbers_and_in_the_tables(workspace, make_cases):
    cases = make_cases()
    workspace.add(cases, official=OfficialReading("testA", 14))
    workspace.add(cases, model="other")
    html = report_of(workspace)
    findings = html[html.index('<section id="findings">') : html.index("</section>")]
    told = "The official evaluator takes 14 expressions for testA"
    assert f"cIoU and gIoU: {told}" in findings
    # Beside each cIoU of that model: of all phrases, and of the two.
    assert findings.count("not the official evaluator's") == 3
    scores = html[html.index('<section id="demo.demo.test">') :]
    table = scores[scores.index("Scores of referring segmentation") :].partition("</table>")[0]
    assert told in table
    assert '<th scope="col" class="number">official cIoU</th>' in table
    others = html[html.index('<section id="other.demo.test">') :]
    assert "cIoU and gIoU are those of the official evaluator." in others
    overall = pd.read_csv(workspace.root / "report/tables/overall.csv").set_index("model")
    assert overall.loc["demo", ["official_ciou", "official_giou"]].isna().all()
    assert overall.loc["demo", "official_n_expressions"] == 14
    assert overall.loc["other", "official_ciou"] == pytest.approx(overall.loc["other", "ciou"], abs=1e-12)
    assert "not the official evaluator's" in (workspace.root / "report/tables/referring.tex").read_text()


def test_where_nothing_differs_nothing_is_told(usual):
    html = (usual.root / "report/index.html").read_text("utf-8")
    assert "not the official evaluator" not in html
    assert "not those of the" not in html
    assert "official_ciou" not in (usual.root / "report/tables/overall.csv").read_text("utf-8")
    assert "official" not in (usual.root / "report/tables/referring.tex").read_text("utf-8")
