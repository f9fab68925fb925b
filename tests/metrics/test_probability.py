import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn import metrics as sklearn
from torchmetrics.functional.classification import (
    binary_auroc,
    binary_average_precision,
    binary_calibration_error,
)

from refvessel.metrics.probability import (
    THRESHOLDS,
    probabilities,
    probability_scores,
    scores_of_no_answer,
    threshold_counts,
)


@st.composite
def images(draw):
    """Probabilities, many of them equal, and a truth with foreground and background."""
    shape = draw(st.tuples(st.integers(1, 6), st.integers(2, 6)))
    steps = draw(st.sampled_from([2, 7, 256]))
    predicted = draw(arrays.arrays(np.int64, shape, elements=st.integers(0, steps))) / steps
    truth = draw(arrays.arrays(bool, shape))
    truth[0, 0], truth[-1, -1] = True, False
    return predicted, truth


@given(images())
def test_auc_and_average_precision_equal_scikit_learn(image):
    predicted, truth = image
    scores = probability_scores(predicted, truth)
    flat = truth.ravel(), predicted.ravel()
    assert scores["auc"] == pytest.approx(sklearn.roc_auc_score(*flat), abs=1e-9)
    assert scores["average_precision"] == pytest.approx(sklearn.average_precision_score(*flat), abs=1e-9)


@given(images())
def test_scores_equal_torchmetrics_in_float32(image):
    """It bins [low, high), so 1 is a bin of its own; no probability here is on a bin's edge but 0."""
    predicted, truth = image
    predicted = np.where(predicted > 0, predicted + 1e-4 - 2e-4 * (predicted > 0.5), 0)
    scores = probability_scores(predicted, truth)
    batch = torch.from_numpy(predicted.ravel()), torch.from_numpy(truth.ravel().astype(int))
    assert scores["auc"] == pytest.approx(float(binary_auroc(*batch)), abs=1e-5)
    assert scores["average_precision"] == pytest.approx(float(binary_average_precision(*batch)), abs=1e-5)
    assert scores["ece"] == pytest.approx(float(binary_calibration_error(*batch, n_bins=15)), abs=1e-5)


@given(images())
def test_the_calibration_error_equals_its_bins_one_by_one(image):
    predicted, truth = (array.ravel() for array in image)
    expected = 0.0
    for number in range(15):
        low, high = number / 15, (number + 1) / 15
        chosen = (predicted > low) & (predicted <= high) if number else predicted <= high
        if chosen.any():
            expected += chosen.mean() * abs(truth[chosen].mean() - predicted[chosen].mean())
    edges = np.isclose(predicted * 15 % 1, 0, atol=1e-9) | np.isclose(predicted * 15 % 1, 1, atol=1e-9)
    if not (edges & (predicted > 0) & (predicted < 1)).any():  # an edge is as exact as its division
        assert probability_scores(*image)["ece"] == pytest.approx(expected, abs=1e-9)


@given(images())
def test_a_threshold_keeps_what_is_strictly_above_it(image):
    predicted, truth = image
    counts = threshold_counts(predicted, truth)
    assert counts.shape == (len(THRESHOLDS), 4)
    masks = predicted.reshape(-1, 1) > np.asarray(THRESHOLDS)  # a label per threshold: all in one call
    truths = np.repeat(truth.reshape(-1, 1), len(THRESHOLDS), axis=1)
    matrices = sklearn.multilabel_confusion_matrix(truths, masks)  # of each, [[TN, FP], [FN, TP]]
    for found, ((tn, fp), (fn, tp)) in zip(counts.tolist(), matrices.tolist(), strict=True):
        assert found == [tp, fp, fn, tn]


@given(images(), st.data())
def test_ignored_pixels_are_as_if_they_were_not_there(image, data):
    predicted, truth = image
    ignored = data.draw(arrays.arrays(bool, truth.shape))
    ignored[0, 0] = ignored[-1, -1] = False
    kept = predicted[~ignored], truth[~ignored]
    assert probability_scores(predicted, truth, ignored) == probability_scores(*kept)
    assert (threshold_counts(predicted, truth, ignored) == threshold_counts(*kept)).all()


@pytest.mark.filterwarnings("ignore")
def test_where_a_class_is_missing_trusted_systems_disagree():
    """Of an empty truth ours are undefined, all three; of a full one the AUC is.

    scikit-learn agrees on the AUC, torchmetrics calls it 0. Both call the average precision of an empty truth 0,
    as if the model had ordered the pixels badly. torchmetrics' calibration error is defined; ours is left out,
    since background alone, easily called so, would make every model look calibrated.
    """
    predicted = np.linspace(0.1, 0.9, 20).reshape(4, 5)
    empty, full = (probability_scores(predicted, truth) for truth in np.stack([predicted < 0, predicted > 0]))
    np.testing.assert_array_equal(list(empty.values()), np.nan)
    assert np.isnan(full["auc"])
    assert full["average_precision"] == 1
    for truth, precision in ((np.zeros(20, int), 0), (np.ones(20, int), 1)):
        batch = torch.from_numpy(predicted.ravel()), torch.from_numpy(truth)
        assert np.isnan(sklearn.roc_auc_score(truth, predicted.ravel()))
        assert sklearn.average_precision_score(truth, predicted.ravel()) == pytest.approx(precision)
        assert float(binary_auroc(*batch)) == 0
        assert abs(float(binary_average_precision(*batch))) == precision
        assert float(binary_calibration_error(*batch)) > 0


@given(arrays.arrays(bool, st.tuples(st.integers(1, 6), st.integers(1, 6))))
def test_an_expression_without_an_answer_scores_as_the_probability_zero_everywhere(truth):
    expected = probability_scores(np.zeros(truth.shape), truth)
    assert scores_of_no_answer(int(truth.sum()), truth.size) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("seed", range(3))
def test_vessels_score_as_by_scikit_learn(bent_vessel, seed):
    prediction, truth = bent_vessel(seed)
    noise = np.random.default_rng(seed).normal(0, 1.5, truth.shape)
    predicted = probabilities(np.where(prediction, 2, -3) + noise)
    scores, flat = probability_scores(predicted, truth), (truth.ravel(), predicted.ravel())
    assert scores["auc"] == pytest.approx(sklearn.roc_auc_score(*flat), abs=1e-9)
    assert scores["average_precision"] == pytest.approx(sklearn.average_precision_score(*flat), abs=1e-9)


def test_probabilities_are_the_logistic_function_in_float64():
    logits = np.array([-40, -1, 0, 3], np.float16)
    np.testing.assert_allclose(
        probabilities(logits), 1 / (1 + np.exp(-logits.astype(np.float64))), rtol=1e-12
    )
