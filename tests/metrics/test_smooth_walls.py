"""Walls between the pixels: they give the mask that they were measured on, and no step of it is a narrowing."""

from dataclasses import fields

import numpy as np
import pytest
from scipy.spatial import cKDTree

from refvessel import rle
from refvessel.dataset.regions.polygons import rasterise
from refvessel.demo.anatomy import SIZE, Tube
from refvessel.demo.angiogram import scene_of
from refvessel.geometry import local_widths
from refvessel.metrics.centre_lines import CentreLines
from refvessel.metrics.cross_sections import CrossSections
from refvessel.metrics.stenosis import stenoses
from refvessel.metrics.topology import skeleton

REACH = 3


def drawn(tubes: list[Tube]) -> np.ndarray:
    return rle.decode(rle.union([rasterise(tube.polygon(), SIZE, SIZE) for tube in tubes])).astype(bool)


def straight(row: float, slope: float, radius: float) -> Tube:
    x = np.arange(40.0, 470, 3)
    return Tube(np.stack([x, row + slope * x], axis=1), np.full(len(x), radius), x)


def measured(mask: np.ndarray) -> tuple[CrossSections, np.ndarray]:
    """The cross-sections on which diameters are measured, and these."""
    lines = skeleton(mask)
    sections = CrossSections.of(CentreLines.of(lines, local_widths(mask, lines)))
    widths = sections.diameters(mask, REACH)
    inner = sections.measured
    parts = {each.name: getattr(sections, each.name)[inner] for each in fields(CrossSections)}
    return CrossSections(**parts), widths[inner]


def greatest_stenoses(tubes: list[Tube]) -> list[tuple[float, float]]:
    """Of each vessel, its mean diameter and its stenosis."""
    sections, widths = measured(drawn(tubes))
    found = [each[~np.isnan(each)] for each in sections.split(widths)]
    return [(each.mean(), stenoses(each[None])[0].percent) for each in found if len(each) >= 24]


@pytest.mark.parametrize(("slope", "radius"), [(0.021, 2.3), (0.043, 2.1), (0.07, 3.3), (0.31, 4.4)])
def test_steps_of_the_raster_are_no_narrowings(slope, radius):
    """One step takes up to 48 columns here: rows of pixels across the vessel are off by 0.4 pixels, and so are
    means over fewer columns."""
    _, widths = measured(drawn([straight(100.3, slope, radius)]))
    assert widths.std() < 0.16
    assert abs(widths.mean() - 2 * radius) < 0.3
    assert stenoses(widths[None, 20:-20])[0].percent < 6


def test_walls_as_far_apart_as_was_measured_give_the_mask():
    tube = max(scene_of(3, 0).tree, key=lambda each: len(each.points))
    mask = drawn([tube])
    sections, widths = measured(mask)
    # The middle between the walls lies on the tube's centre line, to whose points both are perpendicular.
    points = np.arange(len(tube.points))
    fine = np.arange(0, points[-1], 0.1)
    middle = np.stack([np.interp(fine, points, tube.points[:, axis]) for axis in (0, 1)], axis=1)
    nearest = cKDTree(sections.centre[:, ::-1] + 0.5).query(middle)[1]
    between = slice(*np.searchsorted(nearest, [1, len(widths) - 2]))
    redrawn = Tube(middle[between], widths[nearest[between]] / 2, fine[between])
    again = rle.decode(rasterise(redrawn.polygon(), SIZE, SIZE)).astype(bool)
    ends = np.linalg.norm(np.argwhere(mask)[:, None] - sections.centre[[0, -1]], axis=2).min(axis=1) < 20
    inner = np.argwhere(mask)[~ends]
    assert again[tuple(inner.T)].mean() > 0.98
    assert (again & ~mask).sum() < 0.02 * mask.sum()


def test_one_vessel_does_not_bend_the_walls_of_another():
    wide, thin = straight(100.3, 0.05, 6.2), straight(300.1, -0.04, 1.6)
    _, together = measured(drawn([wide, thin]))
    apart = np.concatenate([measured(drawn([each]))[1] for each in (wide, thin)])
    assert together == pytest.approx(apart, abs=0.2)


@pytest.mark.parametrize(("low", "high", "most"), [(2, 3, 2.5), (3, 4, 2), (4, 20, 1.5)])
def test_vessels_of_whole_trees_have_no_stenosis(low, high, most):
    vessels = [each for seed in range(0, 16, 2) for each in greatest_stenoses(scene_of(seed, 0).tree)]
    percents = [percent for width, percent in vessels if low <= width < high]
    assert len(percents) > 10
    assert np.mean(np.clip(percents, None, 20)) < most  # beside another vessel one of them may be anything
    assert np.percentile(percents, 90) < 5


def bell(tube: Tube, degree: float, middle: float, width: float) -> Tube:
    """The tube narrowed by a degree (0 to 1) at a place along it, over a bell of `width` pixels."""
    return Tube(
        tube.points,
        tube.radius * (1 - degree * np.exp(-((tube.path - middle) ** 2) / (2 * width**2))),
        tube.path,
    )


def test_narrowings_of_short_bells_keep_their_depth():
    errors = [
        greatest_stenoses([bell(straight(row, slope, radius), degree, 225.3, 8)])[0][1] - 100 * degree
        for row, slope in ((100.3, 0.11), (110.7, 0.23), (90.2, 0.31), (95.6, 0.57), (80.1, 0.42))
        for radius in (3.1, 4.6)
        for degree in (0.4, 0.6)
    ]
    assert abs(np.mean(errors)) < 4
    assert np.percentile(np.abs(errors), 80) < 6


def test_a_narrowing_at_the_end_of_what_is_measured_is_seen():
    """What is seen behind the last cross-section tells on it: walls that ended there would go on straight."""
    errors = []
    for row, slope in ((100.3, 0.04), (110.7, 0.13), (90.2, 0.22), (95.6, 0.37), (80.1, 0.51)):
        for radius in (3.0, 4.0, 5.0):
            tube = bell(straight(row, slope, radius), 0.5, 49.0, 6)
            sections, widths = measured(drawn([tube]))
            columns = sections.centre[:, 1] + 0.5
            end = np.interp(columns.min(), tube.points[:, 0], 2 * tube.radius)
            errors.append(widths[columns.argmin()] - end)
    assert np.abs(errors).mean() < 0.33
