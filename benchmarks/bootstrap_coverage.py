"""How often the 95% intervals contain the true mean, where frames of one patient are alike.

    python benchmarks/bootstrap_coverage.py [--runs 1000] [--draws 2000]

Each run makes a study: 40 patients with 2 to 20 frames; a patient's Dice is normal around the mean, its
frames around the patient's. Three intervals are made from the same data: RefVessel's BCa bootstrap over
patients, of the patient mean and of the mean over frames, and a bootstrap that draws frames as if they were
independent. Prints a Markdown table of the share of runs in which each contains the mean of the population.
"""

import argparse

import numpy as np

from refvessel.metrics.bootstrap import bca_interval, ratio

PATIENTS = 40
MEAN, BETWEEN, WITHIN = 0.75, 0.08, 0.05  # of Dice: population's mean, spread of patients, spread of frames


def study(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Dice of every frame and the number of its patient."""
    frames = random.integers(2, 21, PATIENTS)
    patients = np.repeat(np.arange(PATIENTS), frames)
    return random.normal(MEAN, BETWEEN, PATIENTS)[patients] + random.normal(
        0, WITHIN, len(patients)
    ), patients


def intervals(
    dice: np.ndarray, patients: np.ndarray, draws: int, seed: int
) -> dict[str, tuple[float, float]]:
    """The three intervals by their names in the table."""
    sums, numbers = np.bincount(patients, dice), np.bincount(patients).astype(float)
    numerators = np.stack([sums / numbers, sums], axis=1)
    denominators = np.stack([np.ones(PATIENTS), numbers], axis=1)
    low, high = bca_interval(ratio(numerators, denominators), PATIENTS, draws, seed)
    frames = ratio(dice[:, None], np.ones((len(dice), 1)))
    frame_low, frame_high = bca_interval(frames, len(dice), draws, seed)
    return {
        "over patients, of the patient mean": (low[0], high[0]),
        "over patients, of the mean over frames": (low[1], high[1]),
        "over frames, of the mean over frames": (frame_low[0], frame_high[0]),
    }


def main() -> None:
    """Simulate and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=2000)
    options = parser.parse_args()
    random = np.random.default_rng(1)
    covered: dict[str, list[bool]] = {}
    widths: dict[str, list[float]] = {}
    for seed in range(options.runs):
        for name, (low, high) in intervals(*study(random), options.draws, seed).items():
            covered.setdefault(name, []).append(low <= MEAN <= high)
            widths.setdefault(name, []).append(high - low)
    print(f"| bootstrap | 95% intervals that contain the mean, of {options.runs} | mean width |")
    print("|---|---:|---:|")
    for name, hits in covered.items():
        print(f"| {name} | {np.mean(hits):.1%} | {np.mean(widths[name]):.4f} |")


if __name__ == "__main__":
    main()
