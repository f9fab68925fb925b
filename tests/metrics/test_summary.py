import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from stages import score_cases

from refvessel.metrics.policy import resolve_policy
from refvessel.metrics.summary import nnunet_summary, summarise, summarise_by

POLICY = resolve_policy()


def official_ciou_and_giou(pairs: list[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """The official evaluator's two numbers, written out."""
    intersections = [np.logical_and(prediction, truth).sum() for prediction, truth in pairs]
    unions = [np.logical_or(prediction, truth).sum() for prediction, truth in pairs]
    each = [1.0 if u == 0 else i / (u + 1e-5) for i, u in zip(intersections, unions, strict=True)]
    return sum(intersections) / sum(unions), sum(each) / len(each)


def answered(case: dict) -> np.ndarray:
    return case["prediction"] if case.get("status", "ok") == "ok" else np.zeros_like(case["truth"])


def dice(prediction: np.ndarray, truth: np.ndarray) -> float:
    total = prediction.sum() + truth.sum()
    return 1.0 if total == 0 else 2 * (prediction & truth).sum() / total


def test_ciou_and_giou_equal_the_official_formulas_with_failed_and_empty_expressions(tables, vessel_cases):
    summary = summarise(score_cases(*tables(vessel_cases), POLICY), POLICY)
    ciou, giou = official_ciou_and_giou([(answered(case), case["truth"]) for case in vessel_cases])
    assert summary["ciou"] == pytest.approx(ciou, abs=1e-12)
    assert summary["giou"] == pytest.approx(giou, abs=1e-12)


@settings(max_examples=15)
@given(arrays.arrays(bool, st.tuples(st.integers(1, 5), st.just(2), st.integers(1, 6), st.integers(1, 6))))
def test_ciou_and_giou_equal_the_official_formulas_on_any_masks(tables, pairs):
    pairs[0, 0, 0, 0] = True  # some union: else cIoU is 0/0
    cases = [{"prediction": prediction, "truth": truth} for prediction, truth in pairs]
    summary = summarise(score_cases(*tables(cases), POLICY), POLICY)
    ciou, giou = official_ciou_and_giou([tuple(pair) for pair in pairs])
    assert summary["ciou"] == pytest.approx(ciou, abs=1e-12)
    assert summary["giou"] == pytest.approx(giou, abs=1e-12)


def test_failed_and_no_seg_expressions_stay_in_the_mean_and_are_counted(tables, vessel_cases):
    summary = summarise(score_cases(*tables(vessel_cases), POLICY), POLICY)
    expected = np.mean([dice(answered(case), case["truth"]) for case in vessel_cases])
    assert summary["dice_mean"] == pytest.approx(expected, abs=1e-12)
    assert summary["dice_n"] == summary["n_expressions"] == 6
    assert (summary["n_failed"], summary["n_no_seg"]) == (1, 1)
    assert (summary["n_empty_prediction"], summary["n_empty_truth"], summary["n_patients"]) == (2, 1, 3)


def test_patient_mean_weighs_patients_and_not_their_frames(tables, vessel_cases):
    summary = summarise(score_cases(*tables(vessel_cases), POLICY), POLICY)
    values: dict[str, list[float]] = {}
    for case in vessel_cases:
        values.setdefault(case["patient"], []).append(dice(answered(case), case["truth"]))
    expected = np.mean([np.mean(frames) for frames in values.values()])
    assert summary["dice_patient_mean"] == pytest.approx(expected, abs=1e-12)
    assert summary["dice_patient_mean"] != pytest.approx(summary["dice_mean"], abs=1e-3)
    assert summary["dice_n_patients"] == 3


def test_pooled_sums_the_counts_before_dividing(tables, vessel_cases):
    summary = summarise(score_cases(*tables(vessel_cases), POLICY), POLICY)
    predictions = np.concatenate([answered(case).ravel() for case in vessel_cases])
    truths = np.concatenate([case["truth"].ravel() for case in vessel_cases])
    assert summary["dice_pooled"] == pytest.approx(dice(predictions, truths), abs=1e-12)
    assert summary["precision_pooled"] == pytest.approx((predictions & truths).sum() / predictions.sum())
    assert summary["iou_pooled"] == summary["ciou"]
    assert summary["dice_pooled"] != pytest.approx(summary["dice_mean"], abs=1e-3)


def test_an_undefined_recall_leaves_its_mean_and_its_n(tables, vessel_cases):
    summary = summarise(score_cases(*tables(vessel_cases), POLICY), POLICY)
    defined = [case for case in vessel_cases if case["truth"].any()]
    recalls = [(answered(case) & case["truth"]).sum() / case["truth"].sum() for case in defined]
    assert summary["recall_n"] == len(defined) == 5
    assert summary["recall_mean"] == pytest.approx(np.mean(recalls), abs=1e-12)


def test_pr_at_k_counts_only_an_iou_strictly_above_k(tables):
    truth = np.ones((1, 10), bool)
    cases = [{"truth": truth, "prediction": np.arange(10)[None] < covered} for covered in (5, 6, 7, 8, 9, 10)]
    summary = summarise(score_cases(*tables(cases), POLICY), POLICY)
    shares = [summary[f"pr_at_{k}"] for k in (50, 60, 70, 80, 90)]
    assert shares == pytest.approx([5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6], abs=1e-12)


def test_no_target_and_target_accuracy_look_at_emptiness_only(tables):
    empty, some = np.zeros((3, 3), bool), np.eye(3, dtype=bool)
    pairs = [(empty, empty), (empty, some), (empty, some), (some, ~some), (some, empty)]
    cases = [{"truth": truth, "prediction": prediction} for truth, prediction in pairs]
    summary = summarise(score_cases(*tables(cases), POLICY), POLICY)
    assert (summary["n_acc"], summary["t_acc"]) == pytest.approx((1 / 3, 1 / 2))


def test_scores_that_no_expression_defines_are_null(tables):
    empty = np.zeros((3, 3), bool)
    summary = summarise(score_cases(*tables([{"truth": empty, "prediction": empty}]), POLICY), POLICY)
    assert summary["t_acc"] is None
    assert summary["ciou"] is None
    assert (summary["giou"], summary["dice_mean"], summary["dice_pooled"], summary["n_acc"]) == (1, 1, 1, 1)


def test_groups_are_summarised_as_if_they_were_alone(tables, vessel_cases):
    cases = score_cases(*tables(vessel_cases), POLICY)
    for column in ("phrase", "patient"):
        by_group = summarise_by(cases, cases[column], POLICY)
        assert list(by_group) == sorted(set(cases[column]))
        for value, summary in by_group.items():
            alone = summarise(cases[cases[column] == value], POLICY)
            assert summary.keys() == alone.keys()
            for name, number in summary.items():
                assert number == (None if alone[name] is None else pytest.approx(alone[name], abs=1e-12)), (
                    name
                )


def test_the_nnunet_layout_has_one_label_and_its_means(tables, vessel_cases):
    cases = score_cases(*tables(vessel_cases), POLICY)
    summary = nnunet_summary(cases)
    summary["metric_per_case"] = list(summary["metric_per_case"])
    assert list(summary) == ["metric_per_case", "mean", "foreground_mean"]
    per_case = [entry["metrics"]["1"] for entry in summary["metric_per_case"]]
    assert list(per_case[0]) == ["Dice", "IoU", "TP", "FP", "FN", "TN", "n_pred", "n_ref"]
    for name, mean in summary["foreground_mean"].items():
        assert mean == pytest.approx(np.mean([metrics[name] for metrics in per_case]), abs=1e-9)
    assert summary["mean"] == {"1": summary["foreground_mean"]}
    assert [entry["sent_id"] for entry in summary["metric_per_case"]] == [1, 2, 3, 4, 5, 6]


def test_a_summary_is_plain_json(tables, vessel_cases):
    cases = score_cases(*tables(vessel_cases), POLICY)
    nnunet = nnunet_summary(cases)
    per_case = list(nnunet.pop("metric_per_case"))
    text = json.dumps([summarise(cases, POLICY), nnunet, per_case], allow_nan=False)
    numbers = json.loads(text)[0].values()
    assert all(value is None or math.isfinite(value) for value in numbers)


def test_failed_and_no_seg_expressions_are_told_apart(tables, vessel_cases):
    cases = [vessel_cases[0] | {"status": status} for status in ("failed", "failed", "no_seg", "ok")]
    summary = summarise(score_cases(*tables(cases), POLICY), POLICY)
    assert (summary["n_failed"], summary["n_no_seg"]) == (2, 1)
