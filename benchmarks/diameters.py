"""How near measured diameters and stenoses come to those of the demo's generator, which knows every one.

    python benchmarks/diameters.py [--seeds 0 1 2 ...] [--patients 3] [--degrees 0.3 0.5 0.7]

Trees of the generator are drawn as masks, without noise, as truths of data sets are. Diameters are measured on
every mask and compared with those of the nearest point of a tube's centre line. Then the widest long vessel of
each tree is drawn alone, narrowed in its middle by each degree over a bell of 8 pixels, and the stenosis
that is measured is compared with that of the tube. Prints two Markdown tables; errors are measured minus known.
"""

import argparse
from itertools import pairwise

import numpy as np
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

REACH = 3  # pixels from the centre line
EDGES = (2, 3, 4, 6, 9, 20)  # of diameters, pixels
BELL = 8  # pixels, standard deviation of a narrowing


def measured(tubes: list[Tube]) -> tuple[CrossSections, np.ndarray]:
    """The cross-sections of the tubes' mask, and their diameters in pixels."""
    mask = rle.decode(rle.union([rasterise(tube.polygon(), SIZE, SIZE) for tube in tubes])).astype(bool)
    lines = skeleton(mask)
    sections = CrossSections.of(CentreLines.of(lines, local_widths(mask, lines)))
    return sections, sections.diameters(mask, REACH)


def known(tubes: list[Tube], places: np.ndarray) -> np.ndarray:
    """The diameters of the tubes at the points nearest to places (n, 2), row and column of pixels."""
    dense = [
        np.stack(
            [
                np.interp(np.arange(0, len(t.points) - 1, 0.1), np.arange(len(t.points)), each)
                for each in parts
            ]
        )
        for t in tubes
        for parts in [(t.points[:, 1] - 0.5, t.points[:, 0] - 0.5, 2 * t.radius)]
    ]
    rows, columns, diameters = np.concatenate(dense, axis=1)
    return diameters[cKDTree(np.stack([rows, columns], axis=1)).query(places)[1]]


def narrowed(tube: Tube, degree: float) -> Tube:
    """The tube, narrowed in its middle."""
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(tube.points, axis=0), axis=1))])
    bell = np.exp(-((along - along[-1] / 2) ** 2) / (2 * BELL**2))
    return Tube(tube.points, tube.radius * (1 - degree * bell), tube.path)


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=range(8))
    parser.add_argument("--patients", type=int, default=3, help="trees of each seed")
    parser.add_argument("--degrees", type=float, nargs="+", default=(0.3, 0.5, 0.7))
    options = parser.parse_args()
    trees = [scene_of(seed, patient).tree for seed in options.seeds for patient in range(options.patients)]
    pairs = []
    for tree in trees:
        sections, widths = measured(tree)
        found = ~np.isnan(widths)
        pairs.append(np.stack([known(tree, sections.centre[found]), widths[found]]))
    true, seen = np.concatenate(pairs, axis=1)
    print(f"| known diameter, {len(trees)} trees | cross-sections | bias, px | standard deviation, px |")
    print("|---|---:|---:|---:|")
    for low, high in [(0, np.inf), *pairwise(EDGES)]:
        errors = (seen - true)[(true >= low) & (true < high)]
        name = "all" if low == 0 else f"{low} to {high} px"
        print(f"| {name} | {len(errors)} | {errors.mean():+.3f} | {errors.std():.3f} |")
    print("\n| degree | vessels | bias, points | mean error, points | 95th percentile | greatest |")
    print("|---|---:|---:|---:|---:|---:|")
    for degree in options.degrees:
        points = []
        for tree in trees:
            tube = max(tree, key=lambda each: (len(each.points) > 40) * each.radius.mean())
            narrow = narrowed(tube, degree)
            sections, widths = measured([narrow])
            worst = max(stenosis(each[~np.isnan(each)]).percent for each in sections.split(widths))
            points.append(worst - 100 * (1 - (narrow.radius / tube.radius).min()))
        off = np.abs(points)
        print(
            f"| {degree:.0%} | {len(points)} | {np.mean(points):+.1f} | {off.mean():.1f} | "
            f"{np.percentile(off, 95):.1f} | {off.max():.1f} |"
        )


if __name__ == "__main__":
    main()
