"""Diameters against tubes whose every diameter is known, and how their agreement is told."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation
from scipy.spatial import cKDTree

from refvessel import rle
from refvessel.dataset.regions.polygons import rasterise
from refvessel.demo.anatomy import SIZE, Tube
from refvessel.demo.angiogram import scene_of
from refvessel.geometry import local_widths
from refvessel.metrics.centre_lines import CentreLines
from refvessel.metrics.cross_sections import CrossSections
from refvessel.metrics.diameter_summary import summarise_diameters
from refvessel.metrics.diameters import DIAMETERS, diameter_agreement
from refvessel.metrics.stenosis import stenoses
from refvessel.metrics.topology import skeleton

TOLERANCE = 3
ROWS, COLUMNS = np.mgrid[:96, :160].astype(float)


def lines_of(mask: np.ndarray) -> CentreLines:
    lines = skeleton(mask)
    return CentreLines.of(lines, local_widths(mask, lines))


def drawn(tubes: list[Tube]) -> np.ndarray:
    return rle.decode(rle.union([rasterise(tube.polygon(), SIZE, SIZE) for tube in tubes])).astype(bool)


def known_diameters(tubes: list[Tube], places: np.ndarray) -> np.ndarray:
    """Of the nearest points of the tubes' centre lines, to places (n, 2), row and column of pixels."""
    points, radii = [], []
    for tube in tubes:
        dense = np.linspace(0, len(tube.points) - 1, 10 * len(tube.points))
        index = np.arange(len(tube.points))
        x, y = (np.interp(dense, index, tube.points[:, axis]) for axis in (0, 1))
        points.append(
            np.stack([y - 0.5, x - 0.5], axis=1)
        )  # a pixel's centre is half a pixel from its corner
        radii.append(np.interp(dense, index, tube.radius))
    _, nearest = cKDTree(np.concatenate(points)).query(places)
    return 2 * np.concatenate(radii)[nearest]


@pytest.mark.parametrize("seed", [3, 11])
def test_diameters_of_the_demos_trees_have_no_bias(seed):
    tree = scene_of(seed, 0).tree
    truth = drawn(tree)
    sections = CrossSections.of(lines_of(truth))
    errors = sections.diameters(truth, TOLERANCE) - known_diameters(tree, sections.centre)
    assert np.isnan(errors[sections.measured]).mean() < 0.02
    assert sections.measured.sum() > 300
    assert abs(np.nanmean(errors)) < 0.1  # pixels
    assert np.nanstd(errors) < 0.4
    wide = known_diameters(tree, sections.centre) > 5
    assert abs(np.nanmean(errors[wide])) < 0.15
    assert abs(np.nanmean(errors[~wide])) < 0.15


def narrowed(tube: Tube, degree: float, share: float, width: float) -> Tube:
    """A tube with a narrowing of a degree (0 to 1) at a share of its length, `width` pixels its deviation."""
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(tube.points, axis=0), axis=1))])
    dip = np.exp(-((along - share * along[-1]) ** 2) / (2 * width**2))
    return Tube(tube.points, tube.radius * (1 - degree * dip), tube.path)


def test_stenoses_of_the_demos_vessels_are_found_within_five_points():
    errors = []
    for seed in range(6):
        tube = max(scene_of(seed, 1).tree, key=lambda each: (len(each.points) > 40) * each.radius.mean())
        for degree in (0.3, 0.5, 0.7):
            narrow = narrowed(tube, degree, 0.5, 8)
            true = 100 * (1 - (narrow.radius / tube.radius).min())
            mask = drawn([narrow])
            sections = CrossSections.of(lines_of(mask))
            widths = sections.split(sections.diameters(mask, TOLERANCE))
            errors.append(max(stenoses(each[None, ~np.isnan(each)])[0].percent for each in widths) - true)
    assert np.abs(errors).mean() < 3.5
    assert abs(np.mean(errors)) < 2
    assert np.percentile(np.abs(errors), 90) < 5.5


def tube_field(row: float, slope: float, radius: np.ndarray | float) -> np.ndarray:
    """How far inside a straight vessel each pixel's centre lies, in pixels; negative outside."""
    return radius - np.abs(ROWS - row - slope * COLUMNS) / np.hypot(1, slope)


@settings(max_examples=12, deadline=None)
@given(st.floats(0, 0.5), st.floats(2.2, 6), st.floats(20, 21), st.floats(-0.9, 0.9))
def test_logits_give_diameters_between_the_pixels(slope, radius, row, more):
    truth = tube_field(row, slope, radius) > 0
    lines = lines_of(truth)
    sections = CrossSections.of(lines)
    field = 3 * tube_field(row, slope, radius + more / 2).astype(np.float32)
    measured = sections.diameters(field, TOLERANCE)
    # The centre line of a mask turns a little to and fro, and with it the cross-section.
    assert np.nanmedian(measured) == pytest.approx(2 * radius + more, abs=0.1)


def test_a_prediction_that_is_the_truth_agrees_and_a_wider_one_is_wider_by_what_it_is():
    truth = tube_field(40, 0, 4) > 0
    same = diameter_agreement(truth, truth, lines_of(truth), TOLERANCE)
    assert [same[name] for name in DIAMETERS[1:]] == [0, 0, 0, 0]
    assert same["diameter_n"] > 100
    wider = diameter_agreement(binary_dilation(truth), truth, lines_of(truth), TOLERANCE)
    assert wider["diameter_bias"] == pytest.approx(2, abs=0.05)
    assert wider["minimal_diameter_error"] == pytest.approx(2, abs=0.05)


def test_only_what_is_found_near_the_centre_line_is_compared():
    truth = tube_field(40, 0, 4) > 0
    half = truth & (COLUMNS < 80)
    found = diameter_agreement(half, truth, lines_of(truth), TOLERANCE)
    whole = diameter_agreement(truth, truth, lines_of(truth), TOLERANCE)
    assert 0.4 < found["diameter_n"] / whole["diameter_n"] < 0.6
    assert found["diameter_bias"] == pytest.approx(0, abs=1e-3)  # its end bends the walls a little
    for other in (np.zeros_like(truth), np.roll(truth, 30, axis=0)):
        nothing = diameter_agreement(other, truth, lines_of(truth), TOLERANCE)
        assert nothing["diameter_n"] == 0
        assert np.isnan([nothing[name] for name in DIAMETERS[1:]]).all()
    empty = np.zeros_like(truth)
    assert diameter_agreement(truth, empty, lines_of(empty), TOLERANCE)["diameter_n"] == 0


def test_branch_points_and_ends_are_left_out():
    truth = (tube_field(40, 0, 4) > 0) & (COLUMNS > 10) & (COLUMNS < 150)
    forked = truth | ((np.abs(COLUMNS - 80) < 3) & (ROWS >= 40) & (ROWS < 90))
    sections = CrossSections.of(lines_of(forked))
    measured = sections.diameters(forked, TOLERANCE)
    known = ~np.isnan(measured)
    assert (known == sections.measured).all()
    rows, columns = sections.centre[known].T
    assert (np.hypot(rows - 40, columns - 80) > 7).all()
    assert ((columns > 14) & (columns < 146)).all()
    assert len(np.unique(sections.vessel)) == 3
    assert measured[known] == pytest.approx(np.where(rows < 46, 7, 5), abs=0.6)


@pytest.mark.parametrize(("degree", "share"), [(0.2, 0.5), (0.5, 0.3), (0.7, 0.6), (0.9, 0.5)])
def test_the_reference_of_a_stenosis_is_the_vessel_without_it(degree, share):
    along = np.linspace(0, 1, 200)
    healthy = 8 - 3 * along
    narrow = healthy * (1 - degree * np.exp(-((along - share) ** 2) / (2 * 0.06**2)))
    found, none = stenoses(np.stack([narrow, healthy]))
    assert found.percent == pytest.approx(100 * degree, abs=1.5)
    assert found.reference == pytest.approx(8 - 3 * share, abs=0.25)
    assert abs(found.place / 199 - share) < 0.02
    assert none.percent == pytest.approx(0, abs=0.01)  # a steep taper is a little less likely


@pytest.mark.parametrize("slope", [-0.01, 0, 0.01])
def test_what_a_vessel_was_is_seen_where_most_of_it_is_narrowed_or_beside_another(slope):
    along = np.arange(60)
    healthy = 5 + slope * along
    narrowed = healthy * (1 - 0.5 * np.exp(-((along - 20) ** 2) / (2 * 9**2)))
    assert (narrowed < 0.95 * healthy).mean() > 0.6
    beside = np.where(along > 54, 3, 0) + healthy * (1 - 0.5 * np.exp(-((along - 20) ** 2) / (2 * 6**2)))
    for found in stenoses(np.stack([narrowed, beside])):
        assert found.percent == pytest.approx(50, abs=3)


def test_the_summary_is_bland_and_altmans_of_all_cross_sections_at_once():
    random = np.random.default_rng(0)
    differences = [random.normal(each / 10, 0.5, 20 + 7 * each) for each in range(6)]
    cases = pd.DataFrame(
        {
            "patient": list("aabbcd"),
            "diameter_n": [len(each) for each in differences],
            "diameter_bias": [each.mean() for each in differences],
            "diameter_sd": [each.std() for each in differences],
            "minimal_diameter_error": [0.5, np.nan, 0.1, 0.2, 0.4, 0.3],
            "stenosis_error": [np.nan] * 6,
        }
    )
    unmatched = {"patient": "e", "diameter_n": 0}
    summary = summarise_diameters(pd.concat([cases, pd.DataFrame([unmatched])], ignore_index=True), draws=200)
    together = np.concatenate(differences)
    assert (summary["n"], summary["n_expressions"], summary["n_patients"]) == (len(together), 6, 4)
    assert summary["bias"] == pytest.approx(together.mean())
    assert summary["sd"] == pytest.approx(together.std())
    assert summary["limit_low"] == pytest.approx(together.mean() - 1.96 * together.std())
    assert summary["limit_high"] == pytest.approx(together.mean() + 1.96 * together.std())
    assert summary["bias_low"] < summary["bias"] < summary["bias_high"]
    assert summary["minimal_diameter_error"] == pytest.approx(0.3)
    assert (summary["minimal_diameter_error_n"], summary["stenosis_error"]) == (5, None)
    nothing = summarise_diameters(pd.DataFrame([unmatched | dict.fromkeys(DIAMETERS[1:], np.nan)]), draws=200)
    assert (nothing["n"], nothing["bias"], nothing["limit_low"]) == (0, None, None)
