import math

import pytest
from stages import render_report

from refvessel.report.page import format_number, format_p_value, stated


@pytest.mark.parametrize(
    ("value", "shown"),
    [(3, "3"), (0.12345, "0.123"), (1.0, "1.000"), (None, "\N{EN DASH}"), (math.nan, "\N{EN DASH}")],
)
def test_counts_stay_whole_scores_have_three_decimals_and_what_is_undefined_is_a_dash(value, shown):
    assert format_number(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0009, "<0.001"), (0.0, "<0.001"), (0.001, "0.001"), (None, "\N{EN DASH}")]
)
def test_a_p_value_is_never_shown_as_zero(value, shown):
    assert format_p_value(value) == shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("dice_mean", "0.500"),
        ("hd95_mean", "2.500 (n = 3)"),
        ("hd95_patient_mean", "2.000 (n = 3)"),
        ("ciou", "0.400"),
    ],
)
def test_a_mean_over_fewer_expressions_says_over_how_many(name, shown):
    summary = {"n_expressions": 4, "dice_mean": 0.5, "dice_n": 4, "ciou": 0.4}
    summary |= {"hd95_mean": 2.5, "hd95_patient_mean": 2.0, "hd95_n": 3}
    assert stated(summary, name) == shown


@pytest.mark.usefixtures("without_figures")
def test_a_latex_table_says_over_how_many_a_mean_runs_where_not_over_all(workspace, make_cases):
    """A policy that leaves failed expressions out of the Dice."""
    workspace.add(make_cases(), empty_cases={"dice": {"prediction_empty": None}})
    render_report(**workspace.inputs, output=workspace.root / "report")
    latex = (workspace.root / "report/tables/overall.tex").read_text("utf-8")
    heading = next(line for line in latex.splitlines() if line.startswith("Model & "))
    rows = latex.partition("\\midrule\n")[2].partition("\\bottomrule")[0].splitlines()
    below = {
        name: [cell.split(" ", 1)[-1].rstrip("}") for cell in cells]
        for name, *cells in zip(
            *(line.removesuffix(r" \\").split(" & ") for line in [heading, *rows]), strict=True
        )
    }
    assert below["n"][0] == "10"
    assert "n = 8" in below["Dice"]
    assert not [cell for cell in below["NSD"] if "n =" in cell]
    page = (workspace.root / "report/index.html").read_text("utf-8")
    assert "(n = 4)" in page
    assert ">4 of 5</td>" in page


@pytest.mark.usefixtures("without_figures")
def test_near_ties_among_candidate_masks_are_counted_in_a_sentence(workspace, make_cases):
    cases = make_cases()
    for case, lead in zip(cases, [5e-5, 0.0, 1e-4, 0.2], strict=False):
        case["lead"] = lead
    workspace.add(cases)
    render_report(**workspace.inputs, output=workspace.root / "report")
    page = " ".join((workspace.root / "report/index.html").read_text("utf-8").split())
    assert (
        "In 2 of 4 predictions the two best candidate masks lie within 0.0001 in predicted IoU: batch size, draft "
        "or threads may choose the other one."
    ) in page


def test_predictions_without_leads_say_nothing_of_ties(usual):
    assert "candidate masks" not in (usual.root / "report/index.html").read_text("utf-8")
