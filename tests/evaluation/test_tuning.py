"""The tuned threshold is the best of a sweep that was made from logits, and that can be recomputed."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from skimage.transform import resize
from stages import tune_threshold

from refvessel.dataset.tree.expressions import Expression
from refvessel.errors import UserError
from refvessel.evaluation import tuning
from refvessel.evaluation.tuning import THRESHOLDS
from refvessel.rle import decode, encode

SIDE = 16  # of the logits; images have four times that, so that nothing but one interpolation stands between


@pytest.fixture
def split(tmp_path, monkeypatch):
    """Five expressions: their truths are where smoothed noise is high, their logits the noise, wrongly scaled."""
    random = np.random.default_rng(0)
    expressions, arrays, records = [], {}, []
    for number in range(5):
        logits = random.normal(size=(2 if number == 1 else 1, SIDE, SIDE)).astype(np.float16)
        truth = np.stack([upsampled(each) for each in logits]).max(0) > 0.8
        expression = Expression(
            image_id=f"i{number}",
            ref_id=number,
            sent_id=number,
            phrase="vessel",
            patient=f"p{number % 2}",
            height=4 * SIDE,
            width=4 * SIDE,
            truth=encode(truth & (number != 3)),  # one is empty
            image_path=tmp_path,
        )
        expressions.append(expression)
        with_seg = number != 4  # one was answered without [SEG]
        if with_seg:
            arrays[str(number)] = logits
        records.append({"sent_id": number, "num_seg": len(logits) if with_seg else 0})
    np.savez(tmp_path / "logits.npz", **arrays)
    made_from = {
        "name": "predictions.parquet",
        "made_from": {"run": {"split": "val", "model": "m"}, "dataset": "d"},
    }
    monkeypatch.setattr(tuning, "read_expressions", lambda root, name: expressions if name == "val" else [])
    monkeypatch.setattr(tuning, "read_predictions", lambda path: (pd.DataFrame(records), made_from))
    return expressions, {int(name): array for name, array in arrays.items()}


def upsampled(logits):
    """Bilinear, as scikit-image has it."""
    size = (4 * SIDE, 4 * SIDE)
    return resize(logits.astype(np.float64), size, order=1, mode="edge", anti_aliasing=False)


def tune(tmp_path, logits=("logits.npz",), **changes):
    arguments = {"score": "dice", "output": tmp_path / "tuned.json"} | changes
    return tune_threshold(
        predictions=tmp_path / "predictions.parquet",
        logits=[tmp_path / name for name in logits],
        dataset=tmp_path,
        **arguments,
    )


def dice(truth, predicted):
    total = truth.sum() + predicted.sum()
    return 2 * (truth & predicted).sum() / total if total else 1.0


def iou(truth, predicted):
    union = (truth | predicted).sum()
    return (truth & predicted).sum() / union if union else 1.0


@pytest.mark.parametrize("score", [dice, iou])
def test_the_sweep_is_the_mean_score_of_the_masks_at_each_threshold(split, tmp_path, score):
    expressions, logits = split
    tuned = tune(tmp_path, score=score.__name__)
    for entry in tuned["sweep"][::14]:
        scores = []
        for each in expressions:
            masks = [expit(upsampled(array)) > entry["threshold"] for array in logits.get(each.sent_id, [])]
            predicted = np.any([np.zeros((each.height, each.width), bool), *masks], axis=0)
            scores.append(score(decode(each.truth) == 1, predicted))
        assert entry[f"{score.__name__}_mean"] == pytest.approx(
            np.mean(scores), abs=2e-3
        )  # pixels at the edge
    means = [entry[f"{score.__name__}_mean"] for entry in tuned["sweep"]]
    assert tuned["mean"] == max(means)
    assert tuned["threshold"] == THRESHOLDS[int(np.argmax(means))]
    assert tuned["mean_at_half"] == means[49]
    assert tuned["threshold"] == pytest.approx(expit(0.8), abs=0.1)
    assert json.loads((tmp_path / "tuned.json").read_text()) == tuned
    assert (tuned["n_expressions"], tuned["n_patients"]) == (5, 2)


def test_of_equal_thresholds_the_one_closest_to_a_half_is_taken(split, tmp_path):
    expressions, _ = split
    np.savez(
        tmp_path / "flat.npz", **{str(number): np.full((1, SIDE, SIDE), 9, np.float16) for number in range(4)}
    )
    expressions[:] = [replace(each, truth=encode(np.ones((each.height, each.width)))) for each in expressions]
    assert tune(tmp_path, logits=["flat.npz"])["threshold"] == 0.5


def test_ignored_pixels_do_not_count(split, tmp_path):
    expressions, _ = split
    before = tune(tmp_path)["sweep"]
    nothing = encode(np.zeros((4 * SIDE, 4 * SIDE)))
    everything = encode(np.ones((4 * SIDE, 4 * SIDE)))
    expressions[:] = [replace(each, ignore_mask=nothing) for each in expressions]
    assert tune(tmp_path)["sweep"] == before
    expressions[:] = [replace(each, ignore_mask=everything) for each in expressions]
    assert {entry["dice_mean"] for entry in tune(tmp_path)["sweep"]} == {1.0}


def test_a_sweep_without_stored_logits_is_an_error(split, tmp_path):
    with pytest.raises(
        UserError, match="has no stored logits, without which every threshold gives the same score"
    ):
        tune(tmp_path, logits=[])
    assert not (tmp_path / "tuned.json").exists()


def test_another_score_is_refused(split, tmp_path):
    with pytest.raises(UserError, match="cannot be tuned for 'recall'; choose dice or iou"):
        tune(tmp_path, score="recall")
