"""Confidence, regions, artefacts of the truth on the page; and artifacts of earlier versions."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from stages import render_report

from refvessel.provenance import file_record

pytestmark = pytest.mark.usefixtures("without_figures")


def page_of(workspace) -> str:
    render_report(**workspace.inputs, output=workspace.root / "report")
    return " ".join((workspace.root / "report/index.html").read_text("utf-8").split())


def test_scores_stand_with_their_best_value_and_what_a_model_says_of_itself(workspace, make_cases):
    scores = workspace.add(make_cases()[:4])
    page, summary = page_of(workspace), json.loads((scores / "summary.json").read_text("utf-8"))
    for title, best in (("MASD", "0 px"), ("MCC", "1"), ("Betti matching error b0", "0")):
        assert f'<th scope="row" class="title">{title}</th> <td class="number">{best}</td>' in page
    assert f"{summary['confidence']['aurc']:.3f}" in page[page.index("AURC (mean") :]
    assert "true and" not in page  # no region is asked for


def test_regions_have_a_table_where_they_are_asked_for(workspace, make_cases):
    scores = workspace.add(make_cases()[:4], of_regions=True)
    page, regions = (
        page_of(workspace),
        json.loads((scores / "summary.json").read_text("utf-8"))["regions"],
    )
    assert f"{regions['n_truths']} true and {regions['n_predictions']} predicted regions" in page
    assert f'<td class="number">{regions["pq"]:.3f}</td>' in page


def test_specks_of_a_truth_are_told_on_the_first_page(workspace, make_cases):
    cases = make_cases()[:2]
    for case in cases:
        case["truth"] = case["truth"].copy()
        case["truth"][:4] = False
        case["truth"][1, 1:3] = True
        case["prediction"] = np.zeros_like(case["truth"])
    workspace.add(cases)
    page = page_of(workspace)
    findings = page[page.index('<section id="findings">') : page.index("</section>")]
    assert "components have fewer than 10 pixels" in findings
    assert "They contribute 1.000 to the mean Betti matching error b0" in findings


def test_scores_of_an_earlier_version_are_reported_without_what_it_did_not_know(workspace, make_cases):
    scores = workspace.add(make_cases()[:2])
    cases, summary = (
        pq.read_table(scores / "cases.parquet"),
        json.loads((scores / "summary.json").read_text()),
    )
    new = ("mcc", "betti0_matching_error", "recall_width_4_to_6", "truth_specks", "predicted_iou")
    pq.write_table(cases.drop_columns(list(new)), scores / "cases.parquet")
    kept = {name: value for name, value in summary.items() if not name.startswith(new)}
    kept = {name: value for name, value in kept.items() if name not in ("confidence", "truth_artefacts")}
    del kept["settings"]["empty_policy"]["mcc"]
    kept["provenance"]["cases"] = file_record(scores / "cases.parquet")
    (scores / "summary.json").write_text(json.dumps(kept))
    page = page_of(workspace)
    assert '<th scope="row" class="title">Dice</th>' in page
    assert '<th scope="row" class="title">MCC</th>' not in page
