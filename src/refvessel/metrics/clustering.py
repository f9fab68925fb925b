"""How alike the expressions of one patient are, and what that costs."""

import numpy as np
import pandas as pd


def intraclass_correlation(values: np.ndarray, patients: np.ndarray) -> float:
    """The share of the variance that lies between patients; NaN where nothing defines it.

    The estimate of one-way analysis of variance with random effects, ICC(1) of Shrout and Fleiss (Psychological
    Bulletin 86, 1979), for clusters of unequal size as in Donner (International Statistical Review 54, 1986):
    (MSB - MSW) / (MSB + (m0 - 1) MSW) with m0 = (N - sum(m^2) / N) / (k - 1). It can be negative, where the
    expressions of a patient differ more than those of different patients.

    Args:
        values: of each expression, float64 of shape (expressions,), none NaN.
        patients: the patient of each.
    """
    groups = pd.Series(values).groupby(patients)
    sizes, means = groups.size().to_numpy(), groups.mean().to_numpy()
    expressions, number = len(values), len(sizes)
    if number < 2 or expressions == number:
        return np.nan
    between = (sizes * (means - values.mean()) ** 2).sum() / (number - 1)
    within = ((values - groups.transform("mean").to_numpy()) ** 2).sum() / (expressions - number)
    typical = (expressions - (sizes**2).sum() / expressions) / (number - 1)
    total = between + (typical - 1) * within
    return float((between - within) / total) if total > 1e-24 else np.nan


def design_effect(correlation: float, expressions: int, patients: int) -> float:
    """By how much the variance of a mean exceeds that of as many independent expressions.

    1 + (m - 1) * ICC with m expressions per patient on average (Kish, Survey Sampling, 1965); 1 where each
    patient has one, NaN where the correlation is undefined.
    """
    return 1.0 if expressions == patients else 1 + (expressions / patients - 1) * correlation
