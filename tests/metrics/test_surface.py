import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from medpy.metric import binary as medpy
from monai import metrics as monai
from scipy import ndimage
from scipy.spatial.distance import cdist

from refvessel.geometry import surface
from refvessel.metrics.surface import SURFACE_SCORES, surface_distances, surface_scores

SPACING = (0.4, 0.7)


def brute_force(prediction, truth, spacing) -> tuple[np.ndarray, np.ndarray]:
    """All surface distances by SciPy, every pixel against every pixel."""
    cross = ndimage.generate_binary_structure(2, 1)
    points = [
        np.argwhere(mask & ~ndimage.binary_erosion(mask, cross)) * spacing for mask in (prediction, truth)
    ]
    distances = cdist(*points)
    return distances.min(axis=1), distances.min(axis=0)


def monai_score(score, prediction, truth, *arguments, **options) -> float:
    batch = [torch.from_numpy(mask)[None, None].double() for mask in (prediction, truth)]
    return float(score(*batch, *arguments, include_background=True, **options))


@given(st.data())
@pytest.mark.parametrize("spacing", [(1.0, 1.0), SPACING])
def test_distances_equal_those_of_every_pixel_against_every_pixel(mask_pairs, spacing, data):
    prediction, truth = data.draw(mask_pairs(foreground=True))
    for found, expected in zip(
        surface_distances(prediction, truth, spacing),
        brute_force(prediction, truth, spacing),
        strict=True,
    ):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@given(st.data())
@pytest.mark.parametrize("spacing", [(1.0, 1.0), SPACING])
def test_scores_equal_their_definitions_on_brute_force_distances(mask_pairs, spacing, data):
    prediction, truth = data.draw(mask_pairs(foreground=True))
    there, back = brute_force(prediction, truth, spacing)
    both = [*there, *back]
    expected = {
        "hd95": max(np.quantile(there, 0.95), np.quantile(back, 0.95)),
        "assd": sum(both) / len(both),
        "masd": (sum(there) / len(there) + sum(back) / len(back)) / 2,
        "nsd": sum(distance <= 1.4 for distance in both) / len(both),
    }
    assert surface_scores(prediction, truth, spacing=spacing, tolerance=1.4) == pytest.approx(
        expected, abs=1e-9
    )


@given(st.data())
@pytest.mark.parametrize("spacing", [(1.0, 1.0), SPACING])
def test_scores_equal_monai(mask_pairs, spacing, data):
    """The definitions agree; MONAI computes in float32, hence five decimals."""
    prediction, truth = data.draw(mask_pairs(foreground=True))
    pair = prediction, truth
    scores = surface_scores(*pair, spacing=spacing, tolerance=1.3)
    expected = {
        "hd95": monai_score(monai.compute_hausdorff_distance, *pair, percentile=95, spacing=spacing),
        "assd": monai_score(monai.compute_average_surface_distance, *pair, symmetric=True, spacing=spacing),
        "masd": np.mean(
            [
                monai_score(monai.compute_average_surface_distance, *each, spacing=spacing)
                for each in (pair, pair[::-1])
            ]
        ),
        "nsd": monai_score(monai.compute_surface_dice, *pair, [1.3], spacing=spacing),
    }
    assert scores == pytest.approx(expected, abs=1e-5)


@given(st.data())
@pytest.mark.parametrize("spacing", [(1.0, 1.0), SPACING])
def test_assd_equals_medpy(mask_pairs, spacing, data):
    prediction, truth = data.draw(mask_pairs(foreground=True))
    found = surface_scores(prediction, truth, spacing=spacing, tolerance=2)["assd"]
    assert found == pytest.approx(medpy.assd(prediction, truth, voxelspacing=spacing), abs=1e-9)


def test_hd95_is_the_larger_direction_where_medpy_pools_both():
    truth = np.zeros((40, 40), bool)
    truth[5:15, 5:35] = True
    prediction = truth.copy()
    prediction[30:33, 5:8] = True  # a blob far away: of the prediction's surface only
    there, back = surface_distances(prediction, truth)
    assert surface_scores(prediction, truth, spacing=(1, 1), tolerance=2)["hd95"] == np.percentile(there, 95)
    assert medpy.hd95(prediction, truth) == np.percentile([*there, *back], 95)
    assert np.percentile([*there, *back], 95) < np.percentile(there, 95)


@pytest.mark.parametrize("seed", range(4))
def test_vessels_score_as_with_brute_force_and_monai(bent_vessel, seed):
    prediction, truth = bent_vessel(seed)
    scores = surface_scores(prediction, truth, spacing=(1, 1), tolerance=2)
    there, back = brute_force(prediction, truth, (1, 1))
    assert scores["hd95"] == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)), abs=1e-9)
    assert scores["assd"] == pytest.approx(medpy.assd(prediction, truth), abs=1e-9)
    directed = [medpy.asd(*pair) for pair in ((prediction, truth), (truth, prediction))]
    assert scores["masd"] == pytest.approx(np.mean(directed), abs=1e-9)
    assert scores["nsd"] == pytest.approx(
        monai_score(monai.compute_surface_dice, prediction, truth, [2.0]), abs=1e-6
    )


@given(st.data())
def test_the_surface_is_what_scipys_erosion_removes(mask_pairs, data):
    mask, _ = data.draw(mask_pairs())
    np.testing.assert_array_equal(surface(mask), mask & ~ndimage.binary_erosion(mask))


def test_a_distance_equal_to_the_tolerance_is_within():
    truth = np.zeros((1, 9), bool)
    truth[0, 2] = True
    prediction = np.roll(truth, 2)
    assert surface_scores(prediction, truth, spacing=(1, 1), tolerance=2)["nsd"] == 1
    assert surface_scores(prediction, truth, spacing=(1, 1), tolerance=1.999)["nsd"] == 0


MONAIS = {
    "hd95": lambda *pair: monai_score(monai.compute_hausdorff_distance, *pair, percentile=95),
    "assd": lambda *pair: monai_score(monai.compute_average_surface_distance, *pair, symmetric=True),
    "nsd": lambda *pair: monai_score(monai.compute_surface_dice, *pair, [2.0]),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("empty", "by_monai"),
    [
        ("both", {"hd95": np.nan, "assd": np.nan, "nsd": np.nan}),  # a mean over images leaves it out
        ("truth", {"hd95": np.nan, "assd": np.inf, "nsd": 0}),  # inf: its reduction has no bound
        ("prediction", {"hd95": np.nan, "assd": np.inf, "nsd": 0}),  # so a missed vessel costs no HD95
    ],
)
def test_without_a_surface_trusted_systems_disagree_and_the_policy_decides(empty, by_monai):
    """MONAI as stated; MedPy has no value; ours is undefined, so that the policy's row fills it."""
    nothing, some = np.zeros((4, 4), bool), np.eye(4, dtype=bool)
    pair = [nothing if empty in (which, "both") else some for which in ("prediction", "truth")]
    scores = surface_scores(*pair, spacing=(1, 1), tolerance=2)
    np.testing.assert_array_equal([scores[name] for name in SURFACE_SCORES], np.nan)
    np.testing.assert_equal({name: score(*pair) for name, score in MONAIS.items()}, by_monai)
    for score in (medpy.hd95, medpy.assd):
        with pytest.raises(RuntimeError, match="binary object"):
            score(*pair)
