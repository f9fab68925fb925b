"""How near measured diameters and stenoses come to those of the demo's generator, which knows every one.

    python benchmarks/diameters.py [--seeds 0 1 2 ...] [--patients 3]

Whole trees of the generator are drawn as masks, without noise, as truths of data sets are: as they are, and with
70% of their vessels narrowed at a random place by 20 to 80% over a bell of 6 to 12 pixels. What is measured on
each cross-section is compared with the diameter of the tube there, and what is measured on each vessel (a stretch
between branch points, of 24 cross-sections or more) with the greatest known narrowing of its cross-sections, which
is 0 in a tree as it is. `told apart` is a narrowing whose lumen stays 1.5 pixels wide and that leaves half of the
stretch as it was: a thinner one breaks the mask, and of a longer one the stretch does not show what was narrowed.
Then the widest long vessel of each tree is drawn alone, narrowed in its middle over a bell of 8 pixels.

The last table is of columns of `cases.parquet`: a tree as truth, and as prediction the same outlines drawn up to
half a pixel away, so that all errors are known to be 0; or the narrowed tree.
"""

import argparse
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from refvessel import rle
from refvessel.dataset.regions.polygons import rasterise
from refvessel.demo.anatomy import SIZE, Tube
from refvessel.demo.angiogram import scene_of
from refvessel.geometry import local_widths
from refvessel.metrics.centre_lines import CentreLines
from refvessel.metrics.cross_sections import CrossSections
from refvessel.metrics.shape import shape_scores
from refvessel.metrics.stenosis import stenoses
from refvessel.metrics.topology import skeleton

REACH = 3  # pixels from the centre line
EDGES = (2, 3, 4, 6, 9, 20)  # of diameters, pixels
FEWEST = 24  # cross-sections of a vessel
TURNED = 4  # pixels that a tube is farther away if it runs across
NARROWED = 0.7  # share of the vessels
LONGEST, THINNEST, NARROW = 0.5, 1.5, 10  # share of a stretch, pixels of a lumen, points of a narrowing


class Drawn(NamedTuple):
    """Tubes, how wide each was before it was narrowed, and their mask."""

    tubes: list[Tube]
    healthy: list[np.ndarray]
    mask: rle.RLE


class Vessel(NamedTuple):
    """Of the cross-sections of one vessel: measured, known and healthy diameters, in pixels."""

    measured: np.ndarray
    known: np.ndarray
    healthy: np.ndarray

    def narrowing(self) -> np.ndarray:
        """Known, in points of percent."""
        return 100 * (1 - self.known / self.healthy)

    def error(self) -> float:
        """Of the stenosis, in points."""
        return stenoses(self.measured[None])[0].percent - float(self.narrowing().max())

    def told_apart(self) -> bool:
        """See above."""
        return (self.narrowing() > NARROW).mean() < LONGEST and self.known.min() > THINNEST


def drawn(tubes: list[Tube], healthy: list[np.ndarray], moved: np.ndarray | float = 0.0) -> Drawn:
    """Tubes with their mask; `moved` pixels, x and y, away."""
    outlines = [rasterise(tube.polygon() + moved, SIZE, SIZE) for tube in tubes]
    return Drawn(tubes, healthy, rle.union(outlines))


def narrowed(tree: list[Tube], random: np.random.Generator) -> list[Tube]:
    """The tree with narrowed vessels."""
    return [
        narrow(
            tube,
            degree=random.uniform(0.2, 0.8) * (random.random() < NARROWED),
            share=random.uniform(0.2, 0.8),
            width=random.uniform(6, 12),
        )
        for tube in tree
    ]


def narrow(tube: Tube, *, degree: float, share: float, width: float) -> Tube:
    """A tube narrowed by a degree (0 to 1) at a share of its length, over a bell of `width` pixels."""
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(tube.points, axis=0), axis=1))])
    bell = np.exp(-((along - share * along[-1]) ** 2) / (2 * width**2))
    return Tube(tube.points, tube.radius * (1 - degree * bell), tube.path)


def sections_of(mask: rle.RLE) -> CrossSections:
    """The cross-sections of a mask."""
    decoded = rle.decode(mask).astype(bool)
    lines = skeleton(decoded)
    return CrossSections.of(CentreLines.of(lines, local_widths(decoded, lines)))


def known(one: Drawn, sections: CrossSections) -> tuple[np.ndarray, np.ndarray]:
    """The diameters of the tubes and of the healthy ones at the cross-sections.

    Those of the nearest point of a tube that runs in the same direction: where two tubes cross or one begins in
    another, the nearest may be a point of the wrong one.
    """
    dense = []
    for tube, healthy in zip(one.tubes, one.healthy, strict=True):
        points = np.arange(len(tube.points))
        rows, columns, *diameters = (
            np.interp(np.arange(0, len(points) - 1, 0.1), points, each)
            for each in (tube.points[:, 1] - 0.5, tube.points[:, 0] - 0.5, 2 * tube.radius, 2 * healthy)
        )
        tangents = np.gradient(rows), np.gradient(columns)
        dense.append(np.stack([rows, columns, *direction(*tangents), *diameters]))
    rows, columns, first, second, diameters, healthy = np.concatenate(dense, axis=1)
    tree = cKDTree(np.stack([rows, columns, first, second], axis=1))
    places = np.stack([*sections.centre.T, *direction(sections.normal[:, 1], -sections.normal[:, 0])], axis=1)
    nearest = tree.query(places)[1]
    return diameters[nearest], healthy[nearest]


def direction(rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A direction as coordinates that are the same for the opposite one."""
    angle = 2 * np.arctan2(rows, columns)
    return TURNED / 2 * np.cos(angle), TURNED / 2 * np.sin(angle)


def vessels(one: Drawn) -> list[Vessel]:
    """What is measured on a tree."""
    sections = sections_of(one.mask)
    measured = sections.diameters(rle.decode(one.mask).astype(bool), REACH)
    found = []
    for each in zip(*map(sections.split, (measured, *known(one, sections))), strict=True):
        seen = ~np.isnan(each[0])
        if seen.sum() >= FEWEST:
            found.append(Vessel(*(values[seen] for values in each)))
    return found


def known_stenosis_error(truth: Drawn, prediction: Drawn) -> float:
    """The mean over the truth's vessels of how much more the prediction is narrowed, in points."""
    sections = sections_of(truth.mask)
    found = sections.diameters(rle.decode(prediction.mask).astype(bool), REACH)
    diameters, healthy = known(prediction, sections)
    points = np.where(np.isnan(found), np.nan, 100 * (1 - diameters / healthy))
    return float(
        np.mean([np.nanmax(each) for each in sections.split(points) if (~np.isnan(each)).sum() >= FEWEST])
    )


def row(name: str, errors: np.ndarray) -> str:
    """Of stenoses, as a line of a table."""
    off = np.abs(errors)
    figures = (errors.mean(), off.mean(), np.percentile(off, 95), off.max())
    return f"| {name} | {len(off)} | {' | '.join(f'{each:.1f}' for each in figures)} | {(off > 5).sum()} |"


def print_diameters(found: list[Vessel]) -> None:
    """The table of diameters."""
    print("| known diameter | cross-sections | bias, px | sd, px | vessels | greatest bias, px |")
    print("|---|---:|---:|---:|---:|---:|")
    errors = np.concatenate([each.measured - each.known for each in found])
    at = np.concatenate([each.known for each in found])
    for low, high in [(0, np.inf), *pairwise(EDGES)]:
        some = errors[(at >= low) & (at < high)]
        of_vessels = [(v.measured - v.known).mean() for v in found if low <= v.known.mean() < high]
        name = f"{low} to {high} px" if low else "all"
        figures = f"{len(some)} | {some.mean():+.3f} | {some.std():.3f} | {len(of_vessels)}"
        print(f"| {name} | {figures} | {np.abs(of_vessels).max():.2f} |")


def print_stenoses(named: dict[str, list[Vessel]]) -> None:
    """The table of stenoses, by healthy diameter."""
    print("\n| stenosis, points | vessels | bias | mean error | 95th percentile | greatest | above 5 |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, found in named.items():
        for low, high in pairwise(EDGES):
            some = [each for each in found if low <= each.healthy.mean() < high]
            for told in (True, False):
                errors = [each.error() for each in some if each.told_apart() == told]
                if errors:
                    how = "" if told else ", not told apart"
                    print(row(f"{name}{how}, {low} to {high} px", np.array(errors)))


def print_columns(
    name: str, truths: list[Drawn], predictions: list[Drawn], known_errors: dict[str, np.ndarray]
) -> None:
    """Lines of the table of columns; `known_errors` has what each column would be, tree by tree."""
    table = shape_scores(
        [each.mask for each in predictions],
        [each.mask for each in truths],
        spacings=[(1.0, 1.0)] * len(truths),
        tolerance=2,
        boundary_distance=2,
        centre_line_tolerance=REACH,
        threads=2,
    )
    for column, values in known_errors.items():
        measured = table[column].to_numpy()
        off = np.abs(measured - values)
        figures = (values.mean(), measured.mean(), off.mean(), off.max())
        print(f"| {name} | {len(off)} | {column} | {' | '.join(f'{each:.2f}' for each in figures)} |")


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=range(8))
    parser.add_argument("--patients", type=int, default=3, help="trees of each seed")
    options = parser.parse_args()
    random = np.random.default_rng(0)
    trees = [scene_of(seed, patient).tree for seed in options.seeds for patient in range(options.patients)]
    healthy = [[tube.radius for tube in tree] for tree in trees]
    whole = [drawn(*each) for each in zip(trees, healthy, strict=True)]
    narrow_trees = [drawn(narrowed(tree, random), radii) for tree, radii in zip(trees, healthy, strict=True)]
    shifts = random.uniform(-0.5, 0.5, (len(trees), 2))
    named = {
        "as generated": [vessel for each in whole for vessel in vessels(each)],
        "narrowed": [vessel for each in narrow_trees for vessel in vessels(each)],
    }
    print_diameters([vessel for found in named.values() for vessel in found])
    widest = [max(tree, key=lambda each: (len(each.points) > 40) * each.radius.mean()) for tree in trees]
    for degree in (0.3, 0.5, 0.7):
        alone = [drawn([narrow(tube, degree=degree, share=0.5, width=8)], [tube.radius]) for tube in widest]
        named[f"alone, {degree:.0%}"] = [vessel for each in alone for vessel in vessels(each)]
    print_stenoses(named)
    print("\n| prediction | trees | column | known | measured | mean error | greatest |")
    print("|---|---:|---|---:|---:|---:|---:|")
    none = {"diameter_bias": np.zeros(len(trees)), "stenosis_error": np.zeros(len(trees))}
    for name, truths in (("as generated", whole), ("narrowed", narrow_trees)):
        moved = [drawn(*each[:2], by) for each, by in zip(truths, shifts, strict=True)]
        print_columns(f"{name}, moved within a pixel", truths, moved, none)
    errors = np.array([known_stenosis_error(*each) for each in zip(whole, narrow_trees, strict=True)])
    print_columns("narrowed, the truth is not", whole, narrow_trees, {"stenosis_error": errors})


if __name__ == "__main__":
    main()
