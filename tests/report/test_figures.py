import numpy as np
import pandas as pd
import pytest

from refvessel.report.figures import draw_dice_by_patient, draw_dice_by_phrase

# But of what other tests left to be freed, which may be freed while a figure is drawn.
A_WARNING_FAILS = pytest.mark.filterwarnings("error", "ignore::ResourceWarning")


def cases(patients: int, phrases: int) -> pd.DataFrame:
    rows = [
        {"patient": f"P{patient}", "phrase": f"branch ${phrase}$ of a long name " * 4, "status": "ok"}
        for patient in range(patients)
        for phrase in range(phrases)
    ]
    dice = np.linspace(0, 1, len(rows))
    return pd.DataFrame(rows).assign(dice=dice, sent_id=range(len(rows)))


@A_WARNING_FAILS
@pytest.mark.parametrize("draw", [draw_dice_by_patient, draw_dice_by_phrase])
@pytest.mark.parametrize(("patients", "phrases"), [(1, 1), (80, 1), (3, 20)])
def test_any_number_of_patients_and_phrases_is_drawn_without_a_warning(draw, patients, phrases, tmp_path):
    draw(cases(patients, phrases), tmp_path / "figure.svg")
    assert (tmp_path / "figure.svg").read_text().rstrip().endswith("</svg>")


@A_WARNING_FAILS
@pytest.mark.parametrize("draw", [draw_dice_by_patient, draw_dice_by_phrase])
def test_cases_without_any_defined_dice_are_drawn_empty(draw, tmp_path):
    draw(cases(2, 2).assign(dice=np.nan), tmp_path / "figure.svg")
    assert (tmp_path / "figure.svg").exists()


def test_unanswered_expressions_are_drawn_differently(tmp_path):
    answered = cases(2, 1)
    failed = answered.assign(status="failed")
    draw_dice_by_phrase(answered, tmp_path / "answered.svg")
    draw_dice_by_phrase(failed, tmp_path / "failed.svg")
    assert (tmp_path / "answered.svg").read_bytes() != (tmp_path / "failed.svg").read_bytes()
