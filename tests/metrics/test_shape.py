import json

import numpy as np
import pandas as pd
import pytest
from monai import metrics as monai
from scipy import ndimage
from stages import score_cases

from refvessel import rle
from refvessel.geometry import local_widths, vessel_width
from refvessel.metrics.betti_matching import BETTI_MATCHING_SCORES, betti_matching_errors
from refvessel.metrics.boundary_iou import boundary_iou
from refvessel.metrics.breaks import broken_tree
from refvessel.metrics.calibre import CALIBRE_PRECISION, CALIBRE_RECALL
from refvessel.metrics.centre_lines import CentreLines
from refvessel.metrics.policy import DISTANCES, EMPTY_POLICY, SCORES, resolve_policy
from refvessel.metrics.shape import MISSED_CONNECTIONS, SHAPE_SCORES, shape_scores
from refvessel.metrics.surface import surface_scores
from refvessel.metrics.topology import Labels, Topology, skeleton, topology_scores

POLICY = resolve_policy()
EMPTY, SOME = np.zeros((6, 8), bool), np.eye(6, 8, dtype=bool)
NAN, DIAGONAL = float("nan"), 10.0  # of 6x8 pixels
NO_CALIBRE, NO_OTHER = [NAN] * 5, [NAN] * 4


def shape_of(pairs, threads=1, tolerance=2.0, spacing=(1.0, 1.0)) -> pd.DataFrame:
    encoded = [[rle.encode(mask) for mask in pair] for pair in pairs]
    return shape_scores(
        [prediction for prediction, _ in encoded],
        [truth for _, truth in encoded],
        spacings=[spacing] * len(pairs),
        tolerance=tolerance,
        boundary_distance=2,
        centre_line_tolerance=3,
        threads=threads,
    )


@pytest.fixture
def pairs(bent_vessel) -> list:
    return [bent_vessel(seed) for seed in range(5)] + [(EMPTY, SOME), (EMPTY, EMPTY)]


def test_a_row_has_the_scores_of_the_whole_image_though_only_a_part_is_looked_at(pairs):
    rows = shape_of(pairs).to_dict("records")
    for row, (prediction, truth) in zip(rows, pairs, strict=True):
        expected = surface_scores(prediction, truth, spacing=(1, 1), tolerance=2)
        topologies = [Topology.of(mask) for mask in (prediction, truth)]
        expected |= topology_scores(*topologies)
        expected["boundary_iou"] = boundary_iou(prediction, truth, 2)
        labels = [each.labels for each in topologies]
        matching = betti_matching_errors(*labels, Labels.of(prediction | truth))
        expected |= dict(zip(BETTI_MATCHING_SCORES, matching, strict=True))
        lines = skeleton(truth)
        graph = CentreLines.of(lines, local_widths(truth, lines))
        broken = broken_tree(prediction, truth, graph, tolerance=3)
        expected |= {"connectivity": broken.connectivity, "breaks": len(broken.breaks)}
        assert {name: row[name] for name in expected} == pytest.approx(expected, abs=1e-12, nan_ok=True)
        assert set(SHAPE_SCORES) == {*expected, *CALIBRE_RECALL, *CALIBRE_PRECISION}
        assert row[MISSED_CONNECTIONS] == broken.breaks


def test_several_processes_give_the_same_rows_in_the_same_order(pairs):
    pd.testing.assert_frame_equal(shape_of(pairs, threads=2), shape_of(pairs))


def test_the_tolerance_is_in_pixels_of_the_same_area():
    truth = np.zeros((9, 9), bool)
    truth[4, 4] = True
    prediction = np.roll(truth, 2, axis=1)
    assert shape_of([(prediction, truth)], spacing=(0.25, 0.25), tolerance=2)["nsd"][0] == 1
    assert shape_of([(prediction, truth)], spacing=(0.25, 0.25), tolerance=1.9)["nsd"][0] == 0
    wide_pixels = shape_of([(prediction, truth)], spacing=(0.25, 1), tolerance=2)  # 2 mm; 2 * 0.5 mm allowed
    assert wide_pixels["nsd"][0] == 0
    assert wide_pixels["hd95"][0] == 2


@pytest.mark.parametrize("seed", range(3))
def test_the_vessel_width_is_twice_the_mean_of_scipys_distance_transform_on_the_skeleton(bent_vessel, seed):
    mask = bent_vessel(seed)[1]
    inner = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    expected = 2 * inner[skeleton(mask)].mean()
    assert vessel_width(mask, skeleton(mask)) == pytest.approx(expected, abs=1e-9)
    assert shape_of([(EMPTY, SOME), (SOME, EMPTY)])["vessel_width"].isna().tolist() == [False, True]


def test_lengths_are_those_of_the_centre_lines_along_their_steps():
    level, diagonal = np.zeros((15, 15), bool), np.eye(15, dtype=bool)
    level[7, 2:13] = True
    row = shape_of([(diagonal, level)]).iloc[0]
    assert row["truth_length"] == pytest.approx(10)
    assert row["predicted_length"] == pytest.approx(14 * 2**0.5)
    assert shape_of([(EMPTY, SOME)])["predicted_length"].tolist() == [0]


def test_the_regions_of_the_truth_are_counted():
    two = np.zeros((6, 8), bool)
    two[1, 1] = two[4, 6] = True
    assert shape_of([(EMPTY, two), (two, SOME), (two, EMPTY)])["truth_regions"].tolist() == [2, 1, 0]


@pytest.mark.parametrize(
    ("prediction", "truth", "expected"),
    [
        # HD95, ASSD, MASD, NSD, boundary IoU; clDice, skeleton precision and recall, Betti errors b0 and b1, CAL,
        # branch points, end points; connectivity, breaks; Betti matching errors b0 and b1; recall, then precision
        # of each calibre: all is under 4 pixels wide.
        (EMPTY, EMPTY, [0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 1, 0, 0, 1, 0, 0, 0, *NO_CALIBRE, *NO_CALIBRE]),
        (
            SOME,
            EMPTY,
            [*[DIAGONAL] * 3, 0, 0, 0, 0, NAN, 1, 0, 0, 0, 2, NAN, NAN, 1, 0, *NO_CALIBRE, 0, *NO_OTHER],
        ),
        (EMPTY, SOME, [*[DIAGONAL] * 3, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 1, 1, 0, 0, *NO_OTHER, *NO_CALIBRE]),
        (SOME, SOME, [0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 1, *NO_OTHER, 1, *NO_OTHER]),
    ],
    ids=["both empty", "truth empty", "prediction empty", "neither empty"],
)
def test_the_four_emptiness_cases_follow_the_definitions(tables, prediction, truth, expected):
    cases = score_cases(*tables([{"prediction": prediction, "truth": truth}]), POLICY)
    np.testing.assert_array_equal(cases[list(SHAPE_SCORES)].to_numpy()[0], expected)


def test_every_score_is_a_column_and_has_its_row_in_the_policy(tables, vessel_cases):
    cases = score_cases(*tables(vessel_cases), POLICY)
    assert set(SCORES) <= set(cases.columns)
    assert set(SHAPE_SCORES) < set(EMPTY_POLICY)


def test_the_diagonal_is_a_distance_of_the_image_in_the_unit_of_the_distances(tables):
    case = {"prediction": EMPTY, "truth": SOME, "spacing": (0.5, 0.25)}
    cases = score_cases(*tables([case]), POLICY, unit="mm")
    assert cases[list(DISTANCES)].to_numpy().tolist() == [[np.hypot(3, 2)] * 3]
    assert score_cases(*tables([case]), POLICY)["hd95"][0] == 10


def test_another_policy_changes_the_empty_cases_only(tables, bent_vessel):
    prediction, truth = bent_vessel(0)
    pairs = [{"prediction": prediction, "truth": truth}, {"prediction": EMPTY, "truth": SOME}]
    dropped = resolve_policy({"hd95": {"prediction_empty": None}, "betti0_error": {"prediction_empty": 99}})
    usual, changed = (score_cases(*tables(pairs), policy) for policy in (POLICY, dropped))
    assert np.isnan(changed["hd95"][1])
    assert changed["betti0_error"].tolist() == [usual["betti0_error"][0], 99]
    assert changed["hd95"][0] == usual["hd95"][0]


def left_half(shape) -> np.ndarray:
    return np.arange(shape[1])[None].repeat(shape[0], axis=0) < shape[1] // 2


def test_ignored_pixels_do_not_change_any_score(tables, bent_vessel):
    prediction, truth = bent_vessel(1)
    ignore = left_half(truth.shape)
    noise = np.random.default_rng(0).random(truth.shape) < 0.5
    quiet = {"prediction": prediction & ~ignore, "truth": truth & ~ignore, "ignore": ignore}
    loud = {
        "prediction": prediction ^ (noise & ignore),
        "truth": truth ^ (noise[::-1] & ignore),
        "ignore": ignore,
    }
    columns = [*SCORES, "tp", "fp", "fn", "tn", "truth_pixels", "vessel_width", "truth_regions"]
    first, second = (score_cases(*tables([case]), POLICY)[columns] for case in (quiet, loud))
    pd.testing.assert_frame_equal(first, second)


def test_an_image_that_is_half_ignored_scores_as_its_other_half(tables, bent_vessel):
    prediction, truth = bent_vessel(2)
    ignore = left_half(truth.shape)
    other = slice(None), slice(truth.shape[1] // 2, None)
    whole = {"prediction": prediction, "truth": truth, "ignore": ignore}
    half = {"prediction": prediction[other], "truth": truth[other]}
    columns = [*SCORES, "tp", "fp", "fn", "tn", "truth_pixels", "vessel_width", "truth_regions"]
    first, second = (score_cases(*tables([case]), POLICY)[columns] for case in (whole, half))
    pd.testing.assert_frame_equal(first, second)


def test_ignoring_equals_monais_ignore_index_in_dice(tables, bent_vessel):
    import torch

    prediction, truth = bent_vessel(3)
    ignore = left_half(truth.shape)
    case = {"prediction": prediction, "truth": truth, "ignore": ignore}
    cases = score_cases(*tables([case]), POLICY)
    pair = [torch.from_numpy(mask & ~ignore)[None, None].double() for mask in (prediction, truth)]
    assert cases["dice"][0] == pytest.approx(float(monai.compute_dice(*pair)), abs=1e-6)
    assert json.loads(cases["ignore_mask"][0]) == rle.encode(ignore)
    assert json.loads(cases["truth_mask"][0]) == rle.encode(truth)


def test_breaks_lie_where_they_are_in_the_whole_image():
    truth = np.zeros((60, 90), bool)
    truth[40, 20:80] = True
    prediction = truth.copy()
    prediction[:, 50] = False
    ((found,),) = shape_of([(prediction, truth)])[MISSED_CONNECTIONS]
    assert (found.row, found.column) == (40, pytest.approx(50, abs=1))
