"""Stored logits become scores of probabilities: per case, in the summary and threshold by threshold."""

import json
from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn import metrics as sklearn
from stages import score as score_with_intervals

from refvessel import rle
from refvessel.errors import UserError
from refvessel.files import sha256_of_file
from refvessel.metrics.policy import resolve_policy
from refvessel.metrics.probability import PROBABILITY_SCORES, THRESHOLDS
from refvessel.predictions.upsampling import image_logits

score = partial(score_with_intervals, bootstrap_draws=100)
SIDE, SIZE = 8, (24, 30)  # of the logits; height and width of the images


def upsampled(logits: np.ndarray) -> np.ndarray:
    """The highest probability of an expression's masks at each pixel of its image."""
    return expit(image_logits(logits, height=SIZE[0], width=SIZE[1]).astype(np.float64)).max(axis=0)


@pytest.fixture
def answered(tables, tmp_path):
    """Predictions and truth of eight expressions, and two files with the logits of the six that were answered.

    The second failed, the third has no [SEG], the fourth has an empty truth, the sixth is ignored altogether and
    the mask of the seventh came out empty.
    """
    random = np.random.default_rng(4)
    cases, arrays = [], {}
    for number in range(1, 9):
        logits = random.normal(0, 3, (1, SIDE, SIDE)).astype(np.float16)
        probability = upsampled(logits)
        truth = probability > 0.7
        if number == 7:  # all below one half: an empty mask, whose probabilities still order the pixels
            logits -= logits.max() + np.float16(1)
            probability = upsampled(logits)
        case = {
            "truth": truth ^ (random.random(SIZE) < 0.05),
            "prediction": probability > 0.5,
            "patient": f"P{number % 3}",
        }
        if number == 2:
            case["status"] = "failed"
        elif number == 3:
            case["status"] = "no_seg"
        else:
            arrays[str(number)] = logits
        if number == 4:
            case["truth"] = np.zeros(SIZE, bool)
        elif number == 5:
            case["ignore"] = random.random(SIZE) < 0.3
        elif number == 6:
            case["ignore"] = np.ones(SIZE, bool)
        cases.append(case)
    predictions, truth = tables(cases)
    files = [tmp_path / "1.logits.npz", tmp_path / "2.logits.npz"]
    for first, path in enumerate(files):
        np.savez_compressed(path, **{name: arrays[name] for name in list(arrays)[first::2]})
    return cases, predictions, truth, arrays, files


def expected_scores(case, logits) -> list[float]:
    """By scikit-learn; without logits the probability is 0 everywhere."""
    kept = ~case.get("ignore", np.zeros(SIZE, bool))
    probability = np.zeros(SIZE) if logits is None else upsampled(logits)
    truth, probability = case["truth"][kept], probability[kept]
    bins = np.digitize(probability, np.arange(1, 15) / 15, right=True)
    gaps = [abs((truth[bins == b] - probability[bins == b]).sum()) for b in range(15)]
    return [
        sklearn.roc_auc_score(truth, probability),
        sklearn.average_precision_score(truth, probability),
        sum(gaps) / len(truth),
    ]


def test_every_case_with_foreground_has_the_scores_of_its_upsampled_probabilities(answered, tmp_path):
    cases, predictions, truth, arrays, files = answered
    summary = score(predictions=predictions, truth=truth, output=tmp_path, logits=files)
    table = pd.read_parquet(tmp_path / "cases.parquet").set_index("sent_id")[list(PROBABILITY_SCORES)]
    assert not predictions["mask"].map(rle.area)[[1, 2, 6]].any()
    undefined = {4: "empty truth", 6: "all ignored"}
    for number, case in enumerate(cases, start=1):
        if number in undefined:
            assert table.loc[number].isna().all(), undefined[number]
        else:
            expected = expected_scores(case, arrays.get(str(number)))
            assert table.loc[number].tolist() == pytest.approx(expected, abs=1e-9)
    for name in PROBABILITY_SCORES:
        assert summary[f"{name}_mean"] == pytest.approx(table[name].mean(), abs=1e-12)
        assert (summary[f"{name}_n"], summary[f"{name}_n_patients"]) == (6, 3)
        assert summary[f"{name}_patient_mean_low"] <= summary[f"{name}_patient_mean"]


def test_the_curve_is_the_scores_of_the_masks_at_each_threshold(answered, tmp_path):
    cases, predictions, truth, arrays, files = answered
    summary = score(predictions=predictions, truth=truth, output=tmp_path, logits=files)
    curve = pd.read_csv(tmp_path / "thresholds.csv")
    assert curve["threshold"].tolist() == pytest.approx(THRESHOLDS.tolist())
    assert (curve["n_expressions"] == len(cases)).all()
    assert (curve["dice_n"] == len(cases)).all()
    # A recall of the empty truth is defined where its answer is empty, too: at the threshold 1 alone.
    assert curve["recall_n"].tolist() == [len(cases) - 1] * 100 + [len(cases)]
    for row in curve.iloc[[0, 37, 50, 88, 100]].to_dict("records"):
        at_cut = [
            upsampled(arrays[str(number)]) > row["threshold"]
            if str(number) in arrays
            else np.zeros(SIZE, bool)
            for number in range(1, 9)
        ]
        at_threshold = [{**case, "prediction": mask} for case, mask in zip(cases, at_cut, strict=True)]
        expected = by_masks(at_threshold)
        assert {name: row[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    at_half = curve.iloc[50]
    assert at_half["dice_mean"] == pytest.approx(summary["dice_mean"], abs=1e-12)
    assert at_half["iou_pooled"] == pytest.approx(summary["ciou"], abs=1e-12)
    assert summary["provenance"]["thresholds"]["sha256"] == sha256_of_file(tmp_path / "thresholds.csv")
    assert [each["name"] for each in summary["provenance"]["logits"]] == [path.name for path in files]


def by_masks(cases) -> dict[str, float]:
    """Summed counts, mean and pooled Dice, written out."""
    counts = []
    for case in cases:
        kept = ~case.get("ignore", np.zeros(SIZE, bool))
        truth, mask = case["truth"] & kept, case["prediction"] & kept
        counts.append(
            [
                (mask & truth).sum(),
                (mask & ~truth).sum(),
                (~mask & truth).sum(),
                (kept & ~mask & ~truth).sum(),
            ]
        )
    tp, fp, fn, tn = np.array(counts).T
    both = 2 * tp + fp + fn
    dice = np.where(both > 0, 2 * tp / np.maximum(both, 1), 1)
    return {
        **dict(
            zip(("tp", "fp", "fn", "tn"), map(int, (tp.sum(), fp.sum(), fn.sum(), tn.sum())), strict=True)
        ),
        "dice_mean": dice.mean(),
        "dice_pooled": 2 * tp.sum() / max(both.sum(), 1),
    }


def test_several_masks_count_as_their_union(tables, tmp_path):
    logits = np.random.default_rng(0).normal(0, 3, (2, SIDE, SIDE)).astype(np.float16)
    probability = upsampled(logits)
    np.savez(tmp_path / "logits.npz", **{"1": logits})
    predictions, truth = tables([{"truth": probability > 0.9, "prediction": probability > 0.5}])
    logits_of_both = {"predictions": predictions.assign(num_seg=2), "logits": [tmp_path / "logits.npz"]}
    summary = score(truth=truth, output=tmp_path, **logits_of_both)
    assert summary["auc_mean"] == summary["average_precision_mean"] == 1
    with pytest.raises(UserError, match="logits of 2 masks for sent_id 1, the predictions have 1"):
        score(truth=truth, output=tmp_path, **(logits_of_both | {"predictions": predictions}))


def test_several_processes_give_the_same_files(answered, tmp_path):
    _, predictions, truth, _, files = answered
    for threads in (1, 2):
        score(
            predictions=predictions,
            truth=truth,
            output=tmp_path / str(threads),
            logits=files,
            threads=threads,
        )
    for name in ("cases.parquet", "summary.json", "thresholds.csv"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_without_logits_nothing_is_made_up_and_no_older_curve_is_left(answered, tmp_path):
    _, predictions, truth, _, files = answered
    score(predictions=predictions, truth=truth, output=tmp_path / "scores", logits=files)
    summary = score(predictions=predictions, truth=truth, output=tmp_path / "scores")
    assert not (tmp_path / "scores/thresholds.csv").exists()
    assert (summary["auc_mean"], summary["auc_n"], summary["ece_patient_mean_low"]) == (None, 0, None)
    assert not {"thresholds", "logits"} & summary["provenance"].keys()
    json.dumps(summary, allow_nan=False)


def test_the_policy_can_leave_out_what_the_formula_gives_for_an_empty_prediction(answered, tmp_path):
    _, predictions, truth, _, files = answered
    policy = {"auc": {"prediction_empty": None}}
    summary = score(predictions=predictions, truth=truth, output=tmp_path, logits=files, empty_cases=policy)
    table = pd.read_parquet(tmp_path / "cases.parquet").set_index("sent_id")
    assert table.loc[[2, 3, 7], "auc"].isna().all()
    assert table.loc[[2, 3, 7], "ece"].notna().all()
    assert (summary["auc_n"], summary["ece_n"]) == (3, 6)
    assert resolve_policy()["auc"]["prediction_empty"] == "formula"


@pytest.mark.parametrize(
    ("choose", "named"),
    [
        (lambda files: files[:1], r"3 expressions \(sent_id 4, 6, 8\) have no stored logits"),
        (lambda files: [*files, files[0]], r"3 expressions \(sent_id 1, 5, 7\) have stored logits twice"),
    ],
)
def test_logits_of_other_shards_are_refused(answered, tmp_path, choose, named):
    _, predictions, truth, _, files = answered
    with pytest.raises(UserError, match=named):
        score(predictions=predictions, truth=truth, output=tmp_path / "scores", logits=choose(files))
    assert not (tmp_path / "scores").exists()


def test_logits_of_other_predictions_are_refused(answered, tmp_path):
    _, predictions, truth, _, files = answered
    unanswered = predictions.assign(num_seg=[0, *predictions["num_seg"][1:]])
    with pytest.raises(UserError, match=r"1 expressions \(sent_id 1\) have stored logits but no mask"):
        score(predictions=unanswered, truth=truth, output=tmp_path / "scores", logits=files)
