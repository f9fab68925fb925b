"""The last lines of a run: what it came to."""

import pytest

from refvessel.files import write_json
from refvessel.outcome import describe_outcome

EVALUATION = {"model": "tuned", "dataset": "angio", "split": "test"}


def summary(mean, low, high, failed=0):
    return {
        "n_expressions": 40,
        "n_patients": 8,
        "n_failed": failed,
        "dice_patient_mean": mean,
        "dice_patient_mean_low": low,
        "dice_patient_mean_high": high,
    }


@pytest.fixture
def results(tmp_path):
    phrases = {"blood vessel": summary(0.8684, 0.851, 0.8826), "catheter": summary(None, None, None)}
    path = tmp_path / "scores/tuned/angio/test/summary.json"
    write_json(path, summary(0.7, 0.6, 0.8, failed=3) | {"by_phrase": phrases})
    return tmp_path


def test_dice_with_its_interval_failures_and_the_report_are_told(results):
    (results / "report").mkdir()
    (results / "report/index.html").write_text("")
    unscored = EVALUATION | {"model": "other"}
    assert describe_outcome(results, [EVALUATION, unscored]).splitlines() == [
        "tuned on angio, test: 40 expressions of 8 patients, 3 failed; Dice, mean over patients (95% interval):",
        "  all           0.700 (0.600 to 0.800)",
        "  blood vessel  0.868 (0.851 to 0.883)",
        "  catheter      undefined",
        f"Report: {results}/report/index.html",
    ]


def test_one_phrase_is_told_once_and_one_patient_has_no_interval(results):
    path = results / "scores/tuned/angio/test/summary.json"
    write_json(path, summary(0.7, None, None) | {"by_phrase": {"vessel": summary(0.7, None, None)}})
    lines = describe_outcome(results, [EVALUATION]).splitlines()
    assert lines[1:] == ["  vessel  0.700 (no interval: too few patients)"]
