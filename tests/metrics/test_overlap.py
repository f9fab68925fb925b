import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco
from sklearn import metrics as sklearn

from refvessel import rle
from refvessel.metrics.overlap import COUNTS, OVERLAP_SCORES, overlap_scores, pixel_counts
from refvessel.metrics.policy import resolve_policy

POLICY = resolve_policy()


@st.composite
def mask_pairs(draw):
    """Two masks of one size; sparse, dense, empty and full ones all occur."""
    shape = draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    fill = st.sampled_from([st.booleans(), st.just(False), st.just(True)])
    return tuple(draw(arrays.arrays(bool, shape, elements=draw(fill))) for _ in range(2))


def counts_of(prediction: np.ndarray, truth: np.ndarray) -> pd.DataFrame:
    return pixel_counts([rle.encode(prediction)], [rle.encode(truth)], [truth.size])


@given(mask_pairs())
def test_counts_equal_scikit_learns_confusion_matrix(pair):
    prediction, truth = pair
    tn, fp, fn, tp = sklearn.confusion_matrix(truth.ravel(), prediction.ravel(), labels=[False, True]).ravel()
    assert counts_of(prediction, truth).to_dict("records") == [{"tp": tp, "fp": fp, "fn": fn, "tn": tn}]


@given(mask_pairs())
def test_scores_of_masks_with_foreground_equal_scikit_learns(pair):
    prediction, truth = pair
    prediction[0, 0] = truth[-1, -1] = True  # emptiness is the policy's subject
    flat = truth.ravel(), prediction.ravel()
    scores = overlap_scores(counts_of(prediction, truth), POLICY).iloc[0]
    assert scores["dice"] == pytest.approx(sklearn.f1_score(*flat), abs=1e-12)
    assert scores["iou"] == pytest.approx(sklearn.jaccard_score(*flat), abs=1e-12)
    assert scores["precision"] == pytest.approx(sklearn.precision_score(*flat), abs=1e-12)
    assert scores["recall"] == pytest.approx(sklearn.recall_score(*flat), abs=1e-12)
    assert scores["accuracy"] == pytest.approx(sklearn.accuracy_score(*flat), abs=1e-12)
    if not (
        prediction & truth
    ).all():  # all of one kind and all right: 0 by scikit-learn, 1 by Chicco and Jurman
        assert scores["mcc"] == pytest.approx(sklearn.matthews_corrcoef(*flat), abs=1e-12)
    if not truth.all():
        specificity = sklearn.recall_score(*flat, pos_label=False)
        assert scores["specificity"] == pytest.approx(specificity, abs=1e-12)


@given(mask_pairs())
def test_iou_equals_pycocotools(pair):
    prediction, truth = pair
    truth[0, 0] = True
    expected = coco.iou([rle.encode(prediction)], [rle.encode(truth)], [0])[0, 0]
    assert overlap_scores(counts_of(prediction, truth), POLICY)["iou"][0] == pytest.approx(
        expected, abs=1e-12
    )


@given(mask_pairs())
def test_every_score_lies_between_0_and_1_the_mcc_from_minus_1_and_counts_fill_the_image(pair):
    prediction, truth = pair
    counts = counts_of(prediction, truth)
    assert counts.iloc[0].sum() == truth.size
    scores = overlap_scores(counts, POLICY).iloc[0].dropna()
    assert scores.drop("mcc").between(0, 1).all()
    assert -1 <= scores["mcc"] <= 1


EMPTY, SOME = np.zeros((4, 5), bool), np.eye(4, 5, dtype=bool)
NAN = float("nan")


@pytest.mark.parametrize(
    ("prediction", "truth", "expected"),
    [
        # dice, iou, precision, recall, specificity, accuracy, mcc
        (EMPTY, EMPTY, [1, 1, 1, 1, 1, 1, 1]),
        (SOME, EMPTY, [0, 0, 0, NAN, 16 / 20, 16 / 20, 0]),
        (EMPTY, SOME, [0, 0, 0, 0, 0, 0, 0]),
        (SOME, SOME, [1, 1, 1, 1, 1, 1, 1]),
    ],
    ids=["both empty", "truth empty", "prediction empty", "neither empty"],
)
def test_the_four_emptiness_cases_follow_the_definitions(prediction, truth, expected):
    scores = overlap_scores(counts_of(prediction, truth), POLICY)
    np.testing.assert_array_equal(scores[list(OVERLAP_SCORES)].to_numpy()[0], expected)


def test_specificity_and_accuracy_differ_from_scikit_learn_where_the_prediction_is_empty():
    """Nothing answered is right on the background, which scikit-learn rewards; the policy gives 0."""
    assert sklearn.recall_score(SOME.ravel(), EMPTY.ravel(), pos_label=False) == 1
    assert sklearn.accuracy_score(SOME.ravel(), EMPTY.ravel()) == 16 / 20
    scores = overlap_scores(counts_of(EMPTY, SOME), POLICY)
    assert scores[["specificity", "accuracy"]].to_numpy().tolist() == [[0, 0]]


def test_specificity_is_undefined_where_the_truth_covers_the_image():
    full = np.ones((3, 3), bool)
    scores = overlap_scores(counts_of(full, full), POLICY).iloc[0]
    assert scores["dice"] == scores["mcc"] == 1
    assert np.isnan(scores["specificity"])


def test_a_formula_in_the_policy_leaves_0_by_0_undefined_as_nnunet_does():
    policy = resolve_policy({"dice": {"both_empty": "formula"}})
    assert np.isnan(overlap_scores(counts_of(EMPTY, EMPTY), policy)["dice"][0])


def test_counts_of_many_masks_keep_their_order():
    random = np.random.default_rng(0)
    pairs = random.random((20, 2, 9, 7)) < 0.4
    counts = pixel_counts([rle.encode(p) for p, _ in pairs], [rle.encode(t) for _, t in pairs], [63] * 20)
    prediction, truth = pairs[:, 0], pairs[:, 1]
    expected = [prediction & truth, prediction & ~truth, ~prediction & truth, ~prediction & ~truth]
    for name, pixels in zip(COUNTS, expected, strict=True):
        assert counts[name].tolist() == pixels.sum(axis=(1, 2)).tolist()
        assert counts[name].dtype == np.int64
