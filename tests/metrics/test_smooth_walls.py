"""Walls between the pixels: they give the mask that they were measured on, and no step of it is a narrowing."""

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
from refvessel.metrics.stenosis import stenosis
from refvessel.metrics.topology import skeleton

REACH = 3


def drawn(tubes: list[Tube]) -> np.ndarray:
    return rle.decode(rle.union([rasterise(tube.polygon(), SIZE, SIZE) for tube in tubes])).astype(bool)


def straight(row: float, slope: float, radius: float) -> Tube:
    x = np.arange(40.0, 470, 3)
    return Tube(np.stack([x, row + slope * x], axis=1), np.full(len(x), radius), x)


def measured(mask: np.ndarray) -> tuple[CrossSections, np.ndarray]:
    lines = skeleton(mask)
    sections = CrossSections.of(CentreLines.of(lines, local_widths(mask, lines)))
    return sections, sections.diameters(mask, REACH)


@pytest.mark.parametrize(("slope", "radius"), [(0.021, 2.3), (0.043, 2.1), (0.07, 3.3), (0.31, 4.4)])
def test_steps_of_the_raster_are_no_narrowings(slope, radius):
    """One step takes up to 48 columns here: rows of pixels across the vessel are off by 0.4 pixels, and so are
    means over fewer columns."""
    _, widths = measured(drawn([straight(100.3, slope, radius)]))
    assert widths.std() < 0.16
    assert abs(widths.mean() - 2 * radius) < 0.3
    assert stenosis(widths[20:-20]).percent < 6


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


def test_wide_vessels_of_whole_trees_have_no_stenosis():
    percents = []
    for seed in (0, 2, 5):
        sections, widths = measured(drawn(scene_of(seed, 0).tree))
        percents += [
            stenosis(each[~np.isnan(each)]).percent
            for each in sections.split(widths)
            if len(each) >= 24 and np.nanmean(each) > 4
        ]
    assert len(percents) > 10
    assert np.mean(percents) < 2.5
    assert np.percentile(percents, 90) < 5
