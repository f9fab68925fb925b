"""How long all scores of a split take, beside those of the first floor by MONAI, MedPy and scikit-image.

    python benchmarks/score_speed.py [--masks 1220] [--threads 2]

Makes vessel-like masks of 512x512 with mistakes, as RLE, and times from there to every score of every pair:
RefVessel in `--threads` processes and in one, all scores and those of the first floor alone (Dice to CAL and
points of skeletons, which the libraries have, too), and each library in its plain way, one pair after the other
in one process (none of them spreads pairs over several), on decoded masks. They take turns, a tenth of the masks
each, so that a busy machine is unfair to none; CPU seconds are those of all processes. Left out on both sides:
making, encoding, reading. Prints a Markdown table. The peak memory is that of a first run of RefVessel over all
masks, before the libraries are loaded.
"""

import argparse
import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from refvessel import rle
from refvessel.geometry import vessel_width
from refvessel.metrics.overlap import overlap_scores, pixel_counts
from refvessel.metrics.policy import resolve_policy
from refvessel.metrics.shape import box_around, shape_scores
from refvessel.metrics.surface import surface_scores
from refvessel.metrics.topology import Topology, topology_scores

SIDE = 512  # pixels
TURNS = 10


def vessel_pair(seed: int) -> tuple[rle.RLE, rle.RLE]:
    """A branching tree of 2 to 12 pixels width and a prediction that is shifted, broken and noisy; RLE."""
    random = np.random.default_rng(seed)
    lines = np.zeros((SIDE, SIDE), bool)
    for _ in range(6):
        place, angle = random.uniform(60, SIDE - 60, 2), random.uniform(0, 2 * np.pi)
        for _ in range(300):
            angle += random.normal(0, 0.08)
            place += np.sin(angle), np.cos(angle)
            row, column = place.astype(int)
            if min(row, column) >= 0 and max(row, column) < SIDE:
                lines[row, column] = True
    distance = ndimage.distance_transform_edt(~lines)
    truth = distance < random.uniform(1, 6)
    prediction = np.roll(distance < random.uniform(1, 6), random.integers(-2, 3, 2), axis=(0, 1))
    row = random.integers(0, SIDE - 20)
    prediction[row : row + 8] = False
    prediction[10:20, 30:60] = True
    return rle.encode(prediction), rle.encode(truth)


def refvessel_scores(pairs: list, threads: int) -> None:
    """All scores by RefVessel."""
    predictions, truths = zip(*pairs, strict=True)
    refvessel_overlap(pairs)
    spacings = [(1.0, 1.0)] * len(pairs)
    shape_scores(
        predictions,
        truths,
        spacings=spacings,
        tolerance=2.0,
        boundary_distance=2,
        centre_line_tolerance=3,
        threads=threads,
    )


def first_floor(pairs: list) -> None:
    """What the libraries compute, too, in one process: nothing of the second floor."""
    refvessel_overlap(pairs)
    for prediction, truth in pairs:
        predicted, true = (rle.decode(mask).astype(bool) for mask in (prediction, truth))
        box = box_around(predicted | true)
        predicted, true = predicted[box], true[box]
        topologies = Topology.of(predicted), Topology.of(true)
        surface_scores(predicted, true, spacing=(1.0, 1.0), tolerance=2.0)
        topology_scores(*topologies)
        vessel_width(true, topologies[1].skeleton)


def refvessel_overlap(pairs: list) -> None:
    """The overlap scores alone, from RLE."""
    predictions, truths = zip(*pairs, strict=True)
    overlap_scores(pixel_counts(predictions, truths, [SIDE * SIDE] * len(pairs)), resolve_policy())


def library_scores() -> Callable[[np.ndarray, np.ndarray], None]:
    """A function that computes the same scores of one decoded pair with the libraries' own calls."""
    import torch
    from medpy.metric import binary as medpy
    from monai import metrics as monai
    from skimage import measure, morphology

    torch.set_num_threads(1)
    disc = morphology.disk(2)

    def scores(prediction: np.ndarray, truth: np.ndarray) -> None:
        batch = [torch.from_numpy(mask)[None, None] for mask in (prediction, truth)]
        monai.compute_dice(*batch)
        monai.compute_iou(*batch)
        monai.compute_hausdorff_distance(*batch, include_background=True, percentile=95)
        monai.compute_surface_dice(*batch, [2.0], include_background=True)
        medpy.assd(prediction, truth)
        medpy.precision(prediction, truth)
        medpy.recall(prediction, truth)
        medpy.specificity(prediction, truth)
        lines = [morphology.skeletonize(mask) for mask in (prediction, truth)]
        precision, recall = (
            (lines[0] & truth).sum() / lines[0].sum(),
            (lines[1] & prediction).sum() / lines[1].sum(),
        )
        _ = 2 * precision * recall / (precision + recall)  # clDice
        components = [measure.label(mask, connectivity=2).max() for mask in (prediction, truth)]
        _ = [
            count - measure.euler_number(mask, 2)
            for count, mask in zip(components, (prediction, truth), strict=True)
        ]
        wide = [morphology.dilation(mask, disc) for mask in (prediction, truth)]
        _ = ((wide[0] & truth) | (prediction & wide[1])).sum() / (prediction | truth).sum()
        _ = ((lines[0] & wide[1]) | (wide[0] & lines[1])).sum() / (lines[0] | lines[1]).sum()
        neighbours = [
            ndimage.convolve(mask.astype(np.uint8), np.ones((3, 3), np.uint8), mode="constant")
            for mask in lines
        ]
        for mask, around in zip(lines, neighbours, strict=True):
            measure.label(mask & (around > 3), connectivity=2).max()
            _ = (mask & (around == 2)).sum()

    return scores


@dataclass
class Contestant:
    """One way to the scores, and what its turns have taken so far."""

    name: str
    work: Callable[[list], None]
    wall: float = 0.0  # seconds
    cpu: float = 0.0

    def take_turn(self, pairs: list) -> None:
        """Score some pairs, on the clock."""
        wall, cpu = time.perf_counter(), cpu_seconds()
        self.work(pairs)
        self.wall += time.perf_counter() - wall
        self.cpu += cpu_seconds() - cpu


def cpu_seconds() -> float:
    """Of this process and of its ended children."""
    return sum(os.times()[:4])


def peak_gigabytes(processes: int) -> float:
    """Peak resident memory so far: this process and, `processes` times, the largest of its children."""
    own, child = (
        resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return (own + processes * child) * 1024 / 1e9


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--masks", type=int, default=1220)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    pairs = [vessel_pair(seed) for seed in range(options.masks)]
    refvessel_scores(pairs, options.threads)
    memory = peak_gigabytes(options.threads)

    libraries = library_scores()

    def by_libraries(pairs: list) -> None:
        for pair in pairs:
            libraries(*(rle.decode(mask).astype(bool) for mask in pair))

    by_libraries(pairs[:2])  # loads what is loaded once
    reference = Contestant("MONAI + MedPy + scikit-image, first floor, 1 process", by_libraries)
    contestants = [
        Contestant(
            f"RefVessel, all scores, {options.threads} processes",
            lambda pairs: refvessel_scores(pairs, options.threads),
        ),
        Contestant("RefVessel, all scores, 1 process", lambda pairs: refvessel_scores(pairs, 1)),
        Contestant("RefVessel, first floor alone, 1 process", first_floor),
        Contestant("RefVessel, overlap scores alone, 1 process", refvessel_overlap),
        reference,
    ]
    for turn in range(TURNS):
        for contestant in contestants:
            contestant.take_turn(pairs[turn::TURNS])
    n = options.masks
    print(
        f"| {n} masks of {SIDE}x{SIDE} | seconds | libraries over it | CPU seconds | libraries over it | masks/s |"
    )
    print("|---|---:|---:|---:|---:|---:|")
    for one in contestants:
        times = f"{one.wall:.2f} | {reference.wall / one.wall:.1f} | {one.cpu:.2f} | {reference.cpu / one.cpu:.1f}"
        print(f"| {one.name} | {times} | {n / one.wall:.0f} |")
    print(f"\nPeak memory with {options.threads} processes: {memory:.2f} GB")


if __name__ == "__main__":
    main()
