"""Whether every cut through a synthetic tree is found, and none is invented.

    python benchmarks/breaks.py [--trees 300]

A tree is a winding stem with one to three thinner branches, all within the image. Predictions are the tree itself,
shifted by 1 and by 2 pixels, a pixel thinner and a pixel wider; each as it is, which has no break, and with slits
of 2, 5 and 12 pixels across some of its branches, at places with vessel enough on both sides. Each slit is to be
one gap, at most 6 pixels and half its width away. Trees without one of their branches are to have one break, a
lost branch; a branch that ends after 60% of its length, none. (A branch that touches another one beyond its first
third is left out: what is lost of it, is a matter of taste.) Prints a Markdown table, and what is not so, with the
number of the tree.
"""

import argparse
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from refvessel.geometry import local_widths
from refvessel.metrics.breaks import GAP, LOST, Break, broken_tree
from refvessel.metrics.centre_lines import CentreLines
from refvessel.metrics.topology import skeleton

SIDE, TOLERANCE = 256, 3
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE]
PREDICTIONS = ("the truth", "shifted by 1", "shifted by 2", "thinner", "wider")
SLITS = (2, 5, 12)  # pixels
EIGHT = np.ones((3, 3))
ROOT = 1 / 3  # of a branch, where it may touch others


class Branch(NamedTuple):
    """A centre line, (n, 2) float64 in steps of one pixel, within the image, and a radius."""

    points: np.ndarray
    radius: float


def walked(
    random: np.random.Generator, start: np.ndarray, heading: float, length: int, radius: float
) -> Branch:
    """A branch that winds a little, up to the image's edge."""
    headings = heading + np.cumsum(random.normal(0, 0.06, length))
    steps = np.stack([np.sin(headings), np.cos(headings)], axis=1)
    points = np.concatenate([start[None], start + np.cumsum(steps, axis=0)])
    beyond = ((points < 1) | (points > SIDE - 2)).any(axis=1)
    return Branch(points[: beyond.argmax() if beyond.any() else None], radius)


def planted(random: np.random.Generator) -> list[Branch]:
    """A tree, its stem first."""
    radius = random.uniform(1.5, 6)
    stem = walked(
        random, np.array([128.0, 20]), random.normal(0, 0.2), int(random.integers(120, 200)), radius
    )
    tree = [stem]
    shares = np.sort(random.choice([0.25, 0.45, 0.65, 0.85], random.integers(1, 4), replace=False))
    for number, share in enumerate(shares):
        at = int(share * len(stem.points))
        down, right = stem.points[min(at + 3, len(stem.points) - 1)] - stem.points[at - 3]
        heading = np.arctan2(down, right) + (-1) ** number * random.uniform(0.7, 1.3)
        thinner = max(1, radius * random.uniform(0.5, 0.9))
        tree.append(walked(random, stem.points[at], heading, int(random.integers(45, 90)), thinner))
    return tree


def drawn(tree: list[Branch]) -> np.ndarray:
    """The tree's mask."""
    mask = np.zeros((SIDE, SIDE), bool)
    for branch in tree:
        away = np.ones((SIDE, SIDE), bool)
        halves = np.concatenate([branch.points, (branch.points[1:] + branch.points[:-1]) / 2])
        away[tuple(np.rint(halves).astype(int).T)] = False
        mask |= ndimage.distance_transform_edt(away) <= branch.radius - 0.5
    return mask


def predicted(name: str, truth: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """One of PREDICTIONS."""
    if name.startswith("shifted"):
        return np.roll(truth, random.choice((-1, 1), 2) * int(name[-1]), axis=(0, 1))
    if name == "thinner":
        return ndimage.binary_erosion(truth)
    return ndimage.binary_dilation(truth) if name == "wider" else truth


def slit(
    mask: np.ndarray, tree: list[Branch], width: int, random: np.random.Generator
) -> tuple[np.ndarray, list[np.ndarray]]:
    """A mask with slits across some branches, and where these are."""
    places = []
    for number, branch in enumerate(tree):
        wide = 2 * branch.radius + 8 + width
        low, high = int(wide + 2 * tree[0].radius * (number > 0)), int(len(branch.points) - wide)
        if random.random() > 0.6 or high <= low:
            continue
        at = int(random.integers(low, high))
        place = branch.points[at]
        others = [each for each in tree if each is not branch]
        if any(np.linalg.norm(each.points - place, axis=1).min() < wide + each.radius for each in others):
            continue
        tangent = branch.points[at + 4] - branch.points[at - 4]
        tangent /= np.linalg.norm(tangent)
        along = (ROWS - place[0]) * tangent[0] + (COLUMNS - place[1]) * tangent[1]
        near = np.hypot(ROWS - place[0], COLUMNS - place[1]) < branch.radius + width + 4
        cut = mask & ~((abs(along) <= width / 2) & near)
        if ndimage.label(cut, EIGHT)[1] == ndimage.label(mask, EIGHT)[1] + 1:
            mask = cut
            places.append(place)
    return mask, places


def meets_again(branch: Branch, others: list[Branch]) -> bool:
    """Whether a branch touches another one beyond its root."""
    beyond = branch.points[int(ROOT * len(branch.points)) :]
    return any(
        np.linalg.norm(beyond[:, None] - each.points, axis=2).min() < branch.radius + each.radius + 1
        for each in others
    )


def as_cut(found: list[Break], places: list[np.ndarray], width: int) -> bool:
    """Whether these are the breaks that were cut."""
    away = [min(np.hypot(*(place - (each.row, each.column))) for each in found) for place in places if found]
    return [each.kind for each in found] == [GAP] * len(places) and max(away, default=0) <= width / 2 + 6


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trees", type=int, default=300)
    options = parser.parse_args()
    rows: dict[
        str, list[tuple[int, bool]]
    ] = {}  # of each: breaks that there are, and whether these are found
    wrong = []
    for number in range(options.trees):
        random = np.random.default_rng(number)
        tree = planted(random)
        truth = drawn(tree)
        centre_lines = skeleton(truth)
        lines = CentreLines.of(centre_lines, local_widths(truth, centre_lines))
        tried: list[tuple[str, np.ndarray, list[np.ndarray], int]] = []
        for name in PREDICTIONS:
            mask = predicted(name, truth, random)
            if name == "thinner" and (
                ndimage.label(mask, EIGHT)[1] > 1 or min(each.radius for each in tree) < 2.6
            ):
                continue  # nothing or pieces would be left
            tried.append((f"{name}, whole", mask, [], 0))
            tried += [
                (f"{name}, slits of {width} px", *slit(mask, tree, width, random), width) for width in SLITS
            ]
        for name, mask, places, width in tried:
            found = broken_tree(mask, truth, lines, TOLERANCE).breaks
            rows.setdefault(name, []).append((len(places), as_cut(found, places, width)))
            if not rows[name][-1][1]:
                wrong.append((number, name, [place.round().tolist() for place in places], found))
        one = int(random.integers(1, len(tree)))
        rest = tree[:one] + tree[one + 1 :]
        if meets_again(tree[one], rest):
            continue
        short = Branch(tree[one].points[: int(0.6 * len(tree[one].points))], tree[one].radius)
        for name, mask, kinds in (
            ("without a branch", drawn(rest), [LOST]),
            ("without the end of a branch", drawn([*rest, short]), []),
        ):
            found = broken_tree(mask, truth, lines, TOLERANCE).breaks
            rows.setdefault(name, []).append((len(kinds), [each.kind for each in found] == kinds))
            if not rows[name][-1][1]:
                wrong.append((number, name, kinds, found))
    print("| prediction | masks | breaks that there are | masks on which just these are found |")
    print("|---|---:|---:|---:|")
    for name, results in rows.items():
        breaks, right = zip(*results, strict=True)
        print(f"| {name} | {len(results)} | {sum(breaks)} | {sum(right)} |")
    for each in wrong:
        print(*each)


if __name__ == "__main__":
    main()
