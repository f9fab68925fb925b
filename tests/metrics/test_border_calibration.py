import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist
from sklearn import metrics as sklearn

from refvessel.metrics.border_calibration import (
    border,
    border_reliability,
    border_scores,
    border_scores_and_bins,
)


def band_of(truth: np.ndarray, ignored: np.ndarray, distance: float) -> np.ndarray:
    """Every scored pixel against every one of the other kind."""
    points = [np.argwhere(kind & ~ignored) for kind in (truth, ~truth)]
    between = cdist(*points)
    band = np.zeros_like(truth)
    for axis, one in enumerate(points):
        band[tuple(one[between.min(axis=1 - axis) <= distance].T)] = True
    return band


@pytest.mark.parametrize("distance", [1, 4])
def test_the_border_is_where_the_other_kind_is_near(bent_vessel, distance):
    _, truth = bent_vessel(distance)
    ignored = np.zeros_like(truth)
    np.testing.assert_array_equal(border(truth, None, distance), band_of(truth, ignored, distance))
    ignored[:, 40:70] = True
    np.testing.assert_array_equal(border(truth, ignored, distance), band_of(truth, ignored, distance))


def test_scores_are_scikit_learns_on_the_border_alone(bent_vessel):
    _, truth = bent_vessel(0)
    random = np.random.default_rng(0)
    predicted = random.random(truth.shape)
    predicted[:20] = 0  # sure, and sometimes wrong
    ignored = random.random(truth.shape) < 0.1
    scores = border_scores(predicted, truth, ignored, 3)
    band = band_of(truth, ignored, 3)
    flat = truth[band], predicted[band]
    assert scores["border_brier"] == pytest.approx(sklearn.brier_score_loss(*flat), abs=1e-12)
    assert scores["border_nll"] == pytest.approx(sklearn.log_loss(*flat), rel=1e-9)
    bins = np.digitize(flat[1], np.arange(1, 15) / 15, right=True)
    gaps = [abs((flat[0][bins == b] - flat[1][bins == b]).sum()) for b in range(15)]
    assert scores["border_ece"] == pytest.approx(sum(gaps) / band.sum(), abs=1e-12)


def test_a_sure_background_far_away_does_not_count():
    truth = np.zeros((50, 50), bool)
    truth[20:30, 20:30] = True
    predicted = np.where(truth, 0.8, 0.0)
    whole = border_scores(predicted, truth, None, 60)
    near = border_scores(predicted, truth, None, 2)
    assert near["border_ece"] > 3 * whole["border_ece"]


@pytest.mark.parametrize("truth", [np.zeros((5, 5), bool), np.ones((5, 5), bool)], ids=["empty", "full"])
def test_without_a_boundary_there_is_no_score(truth):
    assert np.isnan(list(border_scores(np.full(truth.shape, 0.5), truth, None, 3).values())).all()


def test_the_reliability_diagram_pools_the_pixels_of_the_border(bent_vessel):
    random = np.random.default_rng(1)
    bins, pixels = [], []
    for seed in range(4):
        _, truth = bent_vessel(seed)
        predicted = random.random(truth.shape)
        bins.append(border_scores_and_bins(predicted, truth, None, 3)[1])
        near = border(truth, None, 3)
        pixels.append(pd.DataFrame({"p": predicted[near], "v": truth[near], "patient": f"P{seed % 2}"}))
    bins.append(np.zeros_like(bins[0]))  # no boundary
    patients = pd.Series(["P0", "P1", "P0", "P1", "P2"], index=[7, 8, 9, 10, 11])
    found = border_reliability(np.stack(bins), patients, draws=100)
    assert (found["n"], found["n_patients"]) == (4, 2)
    together = pd.concat(pixels)
    groups = together.groupby(np.digitize(together["p"], np.arange(1, 15) / 15, right=True))
    for row, (_, group) in zip(found["bins"], groups, strict=True):
        assert row["n_pixels"] == len(group)
        assert row["probability"] == pytest.approx(group["p"].mean())
        assert row["foreground"] == pytest.approx(group["v"].mean())
        shares = group.groupby("patient")["v"].mean()
        assert shares.min() <= row["low"] <= row["foreground"] <= row["high"] <= shares.max()
    alone = border_reliability(np.stack(bins[:1]), patients[:1], draws=100)
    assert {row["low"] for row in alone["bins"]} == {None}
    assert border_reliability(np.stack(bins[4:]), patients[4:], draws=100)["bins"] == []
