"""The Betti matching errors beside a brute-force computation, and beside the authors' code.

    python benchmarks/betti_matching.py [--masks 1000] [--authors betti_matching.cpython-311-x86_64-linux-gnu.so]

Random pairs of masks of at most 16x16 pixels, of all densities, half of them one mask and its copy with flipped
pixels, are scored by RefVessel and by the barcodes that the tests compute (`by_ranks` of
`tests/metrics/test_betti_matching.py`). With `--authors`, the compiled module of Betti-Matching-3D (MIT), as the
package topolosses brings it, scores the same pairs and vessel-like ones; `--record FILE` writes what it gives for
the latter, which the tests compare with. Prints a Markdown table.
"""

import argparse
import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from refvessel import rle

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "metrics"))
from test_betti_matching import by_ranks, errors

MADE_BY = "benchmarks/betti_matching.py --record, with the Betti-Matching-3D of topolosses 0.2.0"

Pair = tuple[np.ndarray, np.ndarray]
Errors = Callable[[np.ndarray, np.ndarray], tuple[int, int]]


def random_pair(random: np.random.Generator) -> Pair:
    """Two masks of one size from 1x1 to 16x16."""
    shape = tuple(random.integers(1, 17, 2))
    first = random.random(shape) < random.uniform(0.1, 0.9)
    if random.random() < 0.5:
        return first, first ^ (random.random(shape) < 0.15)
    return first, random.random(shape) < random.uniform(0.1, 0.9)


def vessels(seed: int) -> Pair:
    """A tree with loops on 96x96 pixels, and a prediction of it with gaps, islands, filled loops and pinholes."""
    random = np.random.default_rng(seed)
    lines = np.zeros((96, 96), bool)
    for _ in range(5):
        place, angle = random.uniform(15, 80, 2), random.uniform(0, 2 * np.pi)
        for _ in range(120):
            angle += random.normal(0, 0.12)
            place += np.sin(angle), np.cos(angle)
            row, column = place.astype(int)
            if min(row, column) >= 0 and max(row, column) < 96:
                lines[row, column] = True
    distance = ndimage.distance_transform_edt(~lines)
    truth = distance < random.uniform(1, 3)
    prediction = np.roll(distance < random.uniform(1, 3), random.integers(-1, 2, 2), axis=(0, 1))
    for row in random.integers(5, 90, 3):
        prediction[row : row + 2] = False
    return prediction ^ (random.random(truth.shape) < 0.002), truth


def authors(module: Path) -> Errors:
    """The unmatched features by the authors' code, a component of either mask left out as it never dies."""
    import torch  # noqa: F401 (whose libraries the module is linked with)

    spec = importlib.util.spec_from_file_location("betti_matching", module)
    assert spec
    assert spec.loader
    library: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(library)

    def errors(prediction: np.ndarray, truth: np.ndarray) -> tuple[int, int]:
        images = [np.ascontiguousarray(1.0 - as_cells(mask)) for mask in (prediction, truth)]
        (result,) = library.compute_matching(images[:1], images[1:])
        unmatched = np.add(result.num_unmatched_input1, result.num_unmatched_input2)
        return int(unmatched[0]), int(unmatched[1])

    return errors


def as_cells(mask: np.ndarray) -> np.ndarray:
    """A mask's pixels as closed squares on a grid of twice as many points, with a background around.

    The authors' code joins pixels by their sides alone; squares that touch in a corner share its point.
    """
    height, width = mask.shape
    cells = np.zeros((2 * height + 1, 2 * width + 1), bool)
    for row in range(3):
        for column in range(3):
            cells[row : row + 2 * height : 2, column : column + 2 * width : 2] |= mask
    return np.pad(cells, 1)


def compared(name: str, pairs: list[Pair], other: Errors) -> str:
    """A row of the table: in how many pairs each error is the other's."""
    found = np.array([(errors(*pair), other(*pair)) for pair in pairs])  # (pairs, ours or theirs, b0 or b1)
    equal = (found[:, 0] == found[:, 1]).sum(axis=0)
    return f"| {name} | {len(pairs)} | {equal[0]} | {equal[1]} |"


def main() -> None:
    """Compare, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--masks", type=int, default=1000)
    parser.add_argument("--authors", type=Path, help="the authors' compiled module")
    parser.add_argument("--record", type=Path, help="JSON file to write what it gives into")
    options = parser.parse_args()
    random = np.random.default_rng(0)
    noise = [random_pair(random) for _ in range(options.masks)]
    print("| masks | pairs | equal b0 | equal b1 |\n|---|---:|---:|---:|")
    print(compared("random, at most 16x16, beside the barcodes", noise, by_ranks), flush=True)
    if options.authors:
        theirs, trees = authors(options.authors), [vessels(seed) for seed in range(100)]
        nonempty = [pair for pair in noise if pair[0].any() and pair[1].any()]
        print(compared("the same without empty ones, beside the authors' code", nonempty, theirs))
        print(compared("vessel-like, 96x96, beside the authors' code", trees, theirs))
        if options.record:
            rows = [
                {
                    "prediction": rle.encode(pair[0]),
                    "truth": rle.encode(pair[1]),
                    "unmatched": theirs(*pair),
                }
                for pair in trees[:24]
            ]
            record = {"made_by": MADE_BY, "pairs": rows}
            options.record.write_text(json.dumps(record, indent=0) + "\n", "utf-8")


if __name__ == "__main__":
    main()
