"""Confidence intervals by bootstrap over patients.

Frames of one patient are alike, so a draw takes whole patients with replacement. It is written as how often each
patient was drawn; a statistic then is a function of such weights, and thousands of draws are one matrix product.
"""

from collections.abc import Callable

import numpy as np
from scipy.special import ndtr, ndtri

CONFIDENCE = 0.95
SEED = 0
FEW_PATIENTS = 50  # of fewer, every bootstrap's intervals are too narrow (benchmarks/bootstrap_coverage.py)

# weights (draws, patients) -> values (draws, statistics); NaN where a draw leaves a statistic undefined
Statistic = Callable[[np.ndarray], np.ndarray]

_WEIGHTS_AT_ONCE = 1 << 22  # 32 MiB of weights


def bootstrap(statistic: Statistic, patients: int, draws: int, seed: int = SEED) -> np.ndarray:
    """The statistic of every draw, float64 of shape (draws, statistics)."""
    random = np.random.default_rng(seed)
    return np.concatenate(
        [
            statistic(_weights(random.integers(0, patients, (len(piece), patients))))
            for piece in _pieces(draws, patients)
        ]
    )


def bca_interval(
    statistic: Statistic, patients: int, draws: int, seed: int = SEED
) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper end of the 95% interval of each statistic; NaN where there is none.

    Bias-corrected and accelerated (Efron, JASA 1987), the acceleration from leaving out one patient at a time.
    Draws that leave a statistic undefined are left out; a statistic that never varies has the interval of its one
    value. One patient has no interval.
    """
    return bca_interval_of(bootstrap(statistic, patients, draws, seed), statistic, patients)


def bca_interval_of(drawn: np.ndarray, statistic: Statistic, patients: int) -> tuple[np.ndarray, np.ndarray]:
    """The same from the draws of `bootstrap`, float64 of shape (draws, statistics)."""
    estimates = statistic(np.ones((1, patients)))[0]
    low, high = np.full_like(estimates, np.nan), np.full_like(estimates, np.nan)
    if patients < 2:
        return low, high
    left_out = np.concatenate(
        [
            statistic(1.0 - (np.arange(patients) == np.array(piece)[:, None]))
            for piece in _pieces(patients, patients)
        ]
    )
    for column, estimate in enumerate(estimates):
        if not np.isnan(estimate):
            values, jackknife = drawn[:, column], left_out[:, column]
            low[column], high[column] = _bca(
                estimate, values[~np.isnan(values)], jackknife[~np.isnan(jackknife)]
            )
    return low, high


def ratio(numerators: np.ndarray, denominators: np.ndarray) -> Statistic:
    """The statistic sum(numerators) / sum(denominators) over the drawn patients; both (patients, statistics)."""

    def statistic(weights: np.ndarray) -> np.ndarray:
        below = weights @ denominators
        return np.divide(weights @ numerators, below, out=np.full_like(below, np.nan), where=below > 0)

    return statistic


def _pieces(rows: int, patients: int) -> list[range]:
    """The rows of a table of weights in runs that fit into memory."""
    at_once = max(1, _WEIGHTS_AT_ONCE // patients)
    return [range(first, min(first + at_once, rows)) for first in range(0, rows, at_once)]


def _weights(drawn: np.ndarray) -> np.ndarray:
    draws, patients = drawn.shape
    cells = drawn + patients * np.arange(draws)[:, None]
    counts = np.bincount(cells.ravel(), minlength=draws * patients)
    return counts.reshape(draws, patients).astype(np.float64)


def _bca(estimate: float, drawn: np.ndarray, jackknife: np.ndarray) -> tuple[float, float]:
    if not drawn.size or np.ptp(drawn) <= 1e-12 * max(1.0, abs(estimate)):
        return estimate, estimate
    below = ((drawn < estimate).mean() + (drawn <= estimate).mean()) / 2
    bias = ndtri(np.clip(below, 0.5 / drawn.size, 1 - 0.5 / drawn.size))
    gaps = jackknife.mean() - jackknife
    spread = (gaps**2).sum() ** 1.5
    acceleration = (gaps**3).sum() / (6 * spread) if spread > 0 else 0.0
    tail = ndtri((1 - CONFIDENCE) / 2)
    z = bias + np.array([tail, -tail])
    low, high = np.quantile(drawn, ndtr(bias + z / (1 - acceleration * z)))
    return float(low), float(high)
