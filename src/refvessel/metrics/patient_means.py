"""The mean over patients of what was measured of expressions, with its interval."""

from typing import Any

import numpy as np
import pandas as pd

from refvessel.metrics.bootstrap import bca_interval, ratio
from refvessel.metrics.summary import plain


def patient_mean(values: pd.Series, patients: pd.Series, draws: int) -> dict[str, Any]:
    """The mean of the patients' means, the ends of its 95% interval, and over how many values and patients it is.

    Args:
        values: float, one per expression; NaN where undefined.
        patients: of each of them.
        draws: of patients, for the interval; None stands for an end that there is not.

    Returns:
        `mean`, `low`, `high`, `n` and `n_patients`, plain numbers or None.
    """
    means = values.groupby(patients).mean().dropna()
    counted = {"n": int(values.count()), "n_patients": len(means)}
    if not len(means):
        return {"mean": None, "low": None, "high": None, **counted}
    ones = np.ones((len(means), 1))
    low, high = bca_interval(ratio(means.to_numpy()[:, None], ones), len(means), draws)
    return {"mean": plain(means.mean()), "low": plain(low[0]), "high": plain(high[0]), **counted}
