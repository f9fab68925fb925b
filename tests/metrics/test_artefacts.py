import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from refvessel.metrics.artefacts import TRUTH_ARTEFACTS, artefacts_summary, truth_artefacts
from refvessel.metrics.betti_matching import betti_matching_errors
from refvessel.metrics.topology import Labels


def errors(prediction: np.ndarray, truth: np.ndarray) -> tuple[int, int]:
    return betti_matching_errors(*map(Labels.of, (prediction, truth, prediction | truth)))


def artefacts(prediction: np.ndarray, truth: np.ndarray) -> tuple[int, int, int, int]:
    return truth_artefacts(
        prediction, truth, (Labels.of(prediction), Labels.of(truth)), errors(prediction, truth)
    )


def counted(truth: np.ndarray) -> tuple[int, int, np.ndarray]:
    """By SciPy, component by component and hole by hole: specks, pinholes, and the truth without them."""
    cleaned, specks, pinholes = truth.copy(), 0, 0
    labels, number = ndimage.label(truth, np.ones((3, 3)))
    for label in range(1, number + 1):
        if (labels == label).sum() < 10:
            cleaned[labels == label] = False
            specks += 1
    holes, number = ndimage.label(ndimage.binary_fill_holes(truth) & ~truth)
    for label in range(1, number + 1):
        if (holes == label).sum() == 1:
            cleaned[holes == label] = True
            pinholes += 1
    return specks, pinholes, cleaned


@pytest.mark.parametrize("seed", range(6))
def test_what_artefacts_add_is_the_error_less_that_of_the_truth_without_them(bent_vessel, seed):
    prediction, truth = bent_vessel(seed)
    random = np.random.default_rng(seed)
    truth = truth ^ (random.random(truth.shape) < 0.01 * (seed > 0))
    specks, pinholes, cleaned = counted(truth)
    with_them, without = errors(prediction, truth), errors(prediction, cleaned)
    expected = (specks, pinholes, with_them[0] - without[0], with_them[1] - without[1])
    assert artefacts(prediction, truth) == expected
    assert bool(seed) == bool(specks and pinholes)


def test_a_speck_of_nine_pixels_is_one_and_of_ten_is_none():
    truth = np.zeros((20, 20), bool)
    truth[2, 2:11] = True
    truth[10, 2:12] = True
    assert artefacts(truth, truth)[:2] == (1, 0)
    assert artefacts(np.zeros_like(truth), truth) == (1, 0, 1, 0)


def test_of_nothing_there_is_none():
    empty = np.zeros((4, 4), bool)
    assert artefacts(empty, empty) == (0, 0, 0, 0)


def test_the_summary_says_how_many_and_what_they_add_on_average():
    cases = pd.DataFrame([[2, 1, 3, 1], [0, 0, 0, 0]], columns=TRUTH_ARTEFACTS).assign(truth_regions=[5, 1])
    assert artefacts_summary(cases) == {
        "components": 6,
        "specks": 2,
        "specks_below_pixels": 10,
        "pinholes": 1,
        "n_expressions": 1,
        "of_expressions": 2,
        "betti0_matching_error_mean": 1.5,
        "betti1_matching_error_mean": 0.5,
    }
