"""Our overlap scores beside those of trusted systems: the same numbers, or a stated other definition."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from medpy.metric import binary as medpy
from monai import metrics as monai
from sklearn import metrics as sklearn
from torchmetrics.functional import classification as torchmetrics
from torchmetrics.functional.segmentation import dice_score

from refvessel import rle
from refvessel.metrics.overlap import overlap_scores, pixel_counts
from refvessel.metrics.policy import resolve_policy

NAN = float("nan")


def ours(prediction: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    counts = pixel_counts([rle.encode(prediction)], [rle.encode(truth)], [truth.size])
    return overlap_scores(counts, resolve_policy()).iloc[0].to_dict()


def by_monai(score, **options):
    return lambda *pair: float(score(*(torch.from_numpy(mask)[None, None] for mask in pair), **options))


def by_torchmetrics(score):
    return lambda *pair: float(score(*(torch.from_numpy(mask.ravel()).int() for mask in pair)))


def torchmetrics_dice(prediction, truth) -> float:
    pair = (torch.from_numpy(mask)[None, None].int() for mask in (prediction, truth))
    return float(dice_score(*pair, num_classes=1, average="none"))


def by_scikit_learn(score, **options):
    return lambda prediction, truth: float(
        score(truth.ravel(), prediction.ravel(), zero_division=0, **options)
    )


def nnunet_dice(prediction, truth) -> float:
    """As nnU-Net's evaluate_predictions has it, written out: 0/0 is NaN, which its means leave out."""
    tp, fp, fn = (prediction & truth).sum(), (prediction & ~truth).sum(), (~prediction & truth).sum()
    return 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else NAN


SYSTEMS = {  # score -> system -> function, its four values where it differs from ours, and why it does
    "dice": {
        "scikit-learn": (by_scikit_learn(sklearn.f1_score), [0, 0, 0, 1], "0/0 is its zero_division"),
        "MONAI": (
            by_monai(monai.compute_dice),
            [NAN, NAN, 0, 1],
            "leaves every empty truth out, and false positives on it with it",
        ),
        "MONAI, ignore_empty=False": (by_monai(monai.compute_dice, ignore_empty=False), None, None),
        "torchmetrics": (torchmetrics_dice, [NAN, 0, 0, 1], "0/0 is undefined"),
        "MedPy": (medpy.dc, [NAN, 0, 0, 1], "0/0 is undefined"),
        "nnU-Net": (nnunet_dice, [NAN, 0, 0, 1], "0/0 is left out of its means"),
    },
    "iou": {
        "scikit-learn": (by_scikit_learn(sklearn.jaccard_score), [0, 0, 0, 1], "0/0 is its zero_division"),
        "MONAI": (by_monai(monai.compute_iou), [NAN, NAN, 0, 1], "leaves every empty truth out"),
        "MONAI, ignore_empty=False": (by_monai(monai.compute_iou, ignore_empty=False), None, None),
        "torchmetrics": (by_torchmetrics(torchmetrics.binary_jaccard_index), [0, 0, 0, 1], "0/0 is 0"),
        "MedPy": (medpy.jc, None, None),
    },
    "precision": {
        "scikit-learn": (by_scikit_learn(sklearn.precision_score), [0, 0, 0, 1], "0/0 is its zero_division"),
        "torchmetrics": (by_torchmetrics(torchmetrics.binary_precision), [0, 0, 0, 1], "0/0 is 0"),
        "MedPy": (medpy.precision, [NAN, 0, NAN, 1], "without an answer there is no precision"),
    },
    "recall": {
        "scikit-learn": (by_scikit_learn(sklearn.recall_score), [0, 0, 0, 1], "0/0 is its zero_division"),
        "torchmetrics": (by_torchmetrics(torchmetrics.binary_recall), [0, 0, 0, 1], "0/0 is 0"),
        "MedPy": (medpy.recall, [NAN, NAN, 0, 1], "without a vessel there is no recall"),
    },
    "specificity": {
        "torchmetrics": (
            by_torchmetrics(torchmetrics.binary_specificity),
            [1, 0.8, 1, 1],
            "an empty answer finds nothing wrong, which it rewards",
        ),
        "MedPy": (medpy.specificity, [1, 0.8, 1, 1], "an empty answer finds nothing wrong, which it rewards"),
    },
}
EACH = [(score, system) for score, systems in SYSTEMS.items() for system in systems]
EMPTY, SOME = np.zeros((4, 5), bool), np.eye(4, 5, dtype=bool)
EMPTINESS = [(EMPTY, EMPTY), (SOME, EMPTY), (EMPTY, SOME), (SOME, SOME)]  # prediction, truth


@pytest.mark.parametrize(("score", "system"), EACH)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_on_the_four_emptiness_cases_a_system_agrees_or_differs_as_stated(score, system):
    function, stated, reason = SYSTEMS[score][system]
    mine = [ours(*pair)[score] for pair in EMPTINESS]
    theirs = [function(*pair) for pair in EMPTINESS]
    np.testing.assert_allclose(theirs, mine if stated is None else stated, atol=1e-7)
    assert (stated is None) == (reason is None)
    if stated is not None:
        assert not np.allclose(theirs, mine, equal_nan=True)


@settings(max_examples=25)
@given(st.data())
@pytest.mark.parametrize(("score", "system"), EACH)
def test_on_masks_with_foreground_every_system_agrees(mask_pairs, score, system, data):
    """To 1e-9, or to the six digits of those that compute in float32."""
    prediction, truth = data.draw(mask_pairs(foreground=True))
    assume(not truth.all())  # a full truth has no specificity
    function = SYSTEMS[score][system][0]
    digits = 1e-6 if system.startswith(("MONAI", "torchmetrics")) else 1e-9
    assert ours(prediction, truth)[score] == pytest.approx(function(prediction, truth), abs=digits)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("score", "system"), EACH)
def test_on_vessels_every_system_agrees(bent_vessel, score, system, seed):
    prediction, truth = bent_vessel(seed)
    digits = 1e-6 if system.startswith(("MONAI", "torchmetrics")) else 1e-9
    expected = SYSTEMS[score][system][0](prediction, truth)
    assert ours(prediction, truth)[score] == pytest.approx(expected, abs=digits)
