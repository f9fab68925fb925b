import numpy as np
import pandas as pd
import pytest

from refvessel.metrics.confidence import confidence_summary


def cases_of(dice, confidence, patients=None, iou=None) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "dice": np.asarray(dice, float),
            "iou": np.asarray(dice if iou is None else iou, float),
            "predicted_iou": np.asarray(confidence, float),
            "patient": patients or [f"P{number}" for number in range(len(dice))],
        }
    )


def aurc_by_every_order(dice, confidence, random, orders=4000) -> float:
    """The mean over coverages, and over random orders of what is equally confident."""
    areas = []
    for _ in range(orders):
        order = np.lexsort([random.random(len(dice)), -np.asarray(confidence)])
        risk = 1 - np.asarray(dice)[order]
        areas.append(np.mean([risk[:k].mean() for k in range(1, len(risk) + 1)]))
    return float(np.mean(areas))


def test_without_ties_it_is_the_mean_of_the_means_of_the_first():
    dice, confidence = [0.9, 0.2, 0.8, 0.5], [0.7, 0.1, 0.9, 0.8]
    by_hand = np.mean([0.2, (0.2 + 0.5) / 2, (0.2 + 0.5 + 0.1) / 3, (0.2 + 0.5 + 0.1 + 0.8) / 4])
    assert confidence_summary(cases_of(dice, confidence), 100)["aurc"] == pytest.approx(by_hand)


def test_equally_confident_cases_come_in_no_order():
    random = np.random.default_rng(0)
    dice, confidence = random.random(7), np.array([0.9, 0.9, 0.5, 0.5, 0.5, 0.2, 0.2])
    expected = aurc_by_every_order(dice, confidence, random)
    assert confidence_summary(cases_of(dice, confidence), 100)["aurc"] == pytest.approx(expected, abs=0.01)


def test_the_interval_is_that_of_patients_whose_cases_are_repeated():
    random = np.random.default_rng(1)
    dice, patients = random.random(24), [f"P{k % 6}" for k in range(24)]
    confidence = np.clip(dice + random.normal(0, 0.2, 24), 0, 1)
    summary = confidence_summary(cases_of(dice, confidence, patients), 400)
    assert summary["aurc_low"] < summary["aurc"] < summary["aurc_high"]
    assert (summary["n"], summary["n_patients"]) == (24, 6)
    doubled = cases_of([*dice, *dice], [*confidence, *confidence], [*patients, *(f"{p}b" for p in patients)])
    assert confidence_summary(doubled, 100)["aurc"] == pytest.approx(
        float(pd.Series(risk_curve(doubled)).mean()), abs=1e-12
    )


def risk_curve(cases: pd.DataFrame) -> list[float]:
    """Coverage by coverage, the mean risk of the most confident, ties sharing theirs."""
    risk = 1 - cases.groupby("predicted_iou")["dice"].transform("mean")
    ordered = risk[cases["predicted_iou"].sort_values(ascending=False).index].to_numpy()
    return [ordered[:k].mean() for k in range(1, len(ordered) + 1)]


def test_a_failed_case_is_the_least_confident_and_stays():
    summary = confidence_summary(cases_of([0.9, 0.0, 0.7], [0.5, np.nan, 0.4]), 100)
    assert summary["aurc"] == pytest.approx(np.mean([0.1, 0.2, (0.1 + 0.3 + 1) / 3]))
    assert (summary["n"], summary["n_without"]) == (3, 1)
    assert summary["risk_coverage"][-1] == {"coverage": 1.0, "risk": pytest.approx(summary["without_order"])}


def test_the_reliability_has_what_is_predicted_beside_what_is():
    summary = confidence_summary(cases_of([0.9, 0.3, 0.5], [0.84, 0.86, 1.0], iou=[0.8, 0.2, 0.4]), 100)
    eighth, last = summary["reliability"]
    assert eighth == {"low": 0.8, "high": 0.9, "n": 2, "predicted_iou": pytest.approx(0.85), "iou": 0.5}
    assert (last["low"], last["n"], last["iou"]) == (0.9, 1, 0.4)


def test_a_model_that_states_no_confidence_has_none():
    assert confidence_summary(cases_of([0.5, 0.6], [np.nan, np.nan]), 100) is None
