"""The first screen: headline scores per model and phrase, checks that open, and a page that stays short."""

import json
import re

import pytest
from stages import render_report

from refvessel.report.page import MOST_ROWS

pytestmark = pytest.mark.usefixtures("without_figures")


def rendered(workspace) -> str:
    render_report(**workspace.inputs, output=workspace.root / "report")
    return (workspace.root / "report/index.html").read_text("utf-8")


def findings_of(html: str) -> str:
    return " ".join(html[html.index('<section id="findings">') : html.index("</section>")].split())


def test_headlines_are_the_summary_s_with_their_intervals(workspace, make_cases):
    scores = workspace.add(make_cases())
    path = scores / "summary.json"
    summary = json.loads(path.read_text("utf-8"))
    group = summary["by_phrase"]["catheter"]
    group |= {"dice_patient_mean": 0.111, "dice_patient_mean_low": 0.099, "dice_patient_mean_high": 0.123}
    path.write_text(json.dumps(summary), "utf-8")
    shown = findings_of(rendered(workspace))
    assert '<td class="number value">0.111 (0.099 to 0.123)</td>' in shown
    assert "5 images" in shown
    assert "demo: checkpoint iter_9.pth." in shown


def test_warnings_are_open_and_checks_that_passed_are_one_line(workspace, make_cases):
    workspace.add(make_cases())
    shown = findings_of(rendered(workspace))
    opened, _, folded = shown.partition("<details>")
    passed = int(re.search(r"<summary>(\d+) checks passed", folded)[1])
    assert 'class="warning"' in opened
    assert 'class="passed"' not in opened
    assert folded.count('<li class="passed">') == passed > 3
    assert 'class="warning"' not in folded


def test_tables_by_patient_are_bounded_and_say_where_the_rest_is(workspace, vessel):
    cases = [
        {
            "truth": vessel(0),
            "prediction": vessel(2),
            "image_id": f"i{number}",
            "phrase": f"vessel {number:02}",
            "patient": f"P{number:02}",
        }
        for number in range(MOST_ROWS + 3)
    ]
    workspace.add(cases)
    html = rendered(workspace)
    assert "3 more rows are in tables/by_patient.csv." in html
    assert '<th scope="row">P19</th>' in html
    assert '<th scope="row">P20</th>' not in html
    assert "15 more phrases are in tables/by_phrase.csv." in findings_of(html)
