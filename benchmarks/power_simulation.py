"""How often the paired tests find a difference as small as the smallest that RefVessel says they can find.

    python benchmarks/power_simulation.py [--runs 1000] [--draws 10000] [--patients 6 7 8 12 20 50]

Each run is a study: two models on the same frames of several patients. The difference of their Dice on a frame
is normal around the patient's, a patient's is normal around the true one; ICC is the share of variance between
patients. Frames per patient are a fixed number or, for "2-20", drawn anew for each. The tests are those of
`paired_tests` on patients' means, uncorrected, at 5%. Prints a Markdown table of the share of runs in which each
rejects, where the true difference is

    known     the detectable difference for the spread that patients have in truth
    stated    the one that another study of the same design stated, from the spread that it saw

"level" is the share of sign flips that reject where there is no difference. The bar, 75 to 85%, is for sign flips,
known. The stated difference is found less often where patients are few, since the spread of few is itself
uncertain and mostly seen too small.
"""

import argparse

import numpy as np
from scipy import stats

from refvessel.metrics.comparison import sign_flip_test
from refvessel.metrics.power import LEVEL, detectable_difference

SD = 0.03  # of the difference of a frame's Dice
DESIGNS = ((1, 1.0), (5, 0.1), (5, 0.5), (20, 0.5), (20, 0.9), ("2-20", 0.5))  # frames a patient, ICC


def studies(
    random: np.random.Generator, patients: int, frames: int | str, icc: float, differences: np.ndarray
) -> np.ndarray:
    """The patients' mean differences, one column per run, whose true difference is given."""
    sizes = random.integers(2, 21, patients) if isinstance(frames, str) else np.full(patients, frames)
    patient = np.repeat(np.arange(patients), sizes)
    gaps = random.normal(0, SD * np.sqrt(icc), (patients, len(differences)))[patient]
    gaps += random.normal(0, SD * np.sqrt(1 - icc), gaps.shape) + differences
    return np.add.reduceat(gaps, np.flatnonzero(np.diff(patient, prepend=-1))) / sizes[:, None]


def spread_of_patients(frames: int | str, icc: float) -> float:
    """The standard deviation of patients' mean differences in truth."""
    sizes = np.arange(2, 21) if isinstance(frames, str) else np.array([frames])
    return float(SD * np.sqrt(icc + (1 - icc) * (1 / sizes).mean()))


def main() -> None:
    """Simulate and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=10_000)
    parser.add_argument("--patients", type=int, nargs="+", default=[6, 7, 8, 12, 20, 50])
    options = parser.parse_args()
    random, zero = np.random.default_rng(1), np.zeros(options.runs)
    columns = (
        "patients",
        "frames each",
        "ICC",
        "detectable",
        "level",
        "sign flips, known",
        "Wilcoxon, known",
    )
    print(f"| {' | '.join([*columns, 'sign flips, stated'])} |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")

    def rejected(differences: np.ndarray) -> float:
        return float((sign_flip_test(differences, options.draws) < LEVEL).mean())

    for patients in options.patients:
        for frames, icc in DESIGNS:
            known = detectable_difference(spread_of_patients(frames, icc), patients)
            nothing = studies(random, patients, frames, icc, zero)
            there = studies(random, patients, frames, icc, zero + known)
            stated = detectable_difference(1.0, patients) * nothing.std(axis=0, ddof=1)
            again = studies(random, patients, frames, icc, stated)
            wilcoxon = float((stats.wilcoxon(there).pvalue < LEVEL).mean())
            shares = (rejected(nothing), rejected(there), wilcoxon, rejected(again))
            told = " | ".join(f"{share:.1%}" for share in shares)
            print(f"| {patients} | {frames} | {icc} | {known:.4f} | {told} |", flush=True)


if __name__ == "__main__":
    main()
