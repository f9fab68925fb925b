"""The agreement of diameters over many cases: bias and limits of agreement (Bland and Altman, Lancet 1986)."""

import numpy as np
import pandas as pd

from refvessel.metrics.bootstrap import bca_interval, ratio
from refvessel.metrics.diameters import DIAMETERS
from refvessel.metrics.summary import plain

_LIMITS = 1.96  # standard deviations to each side of the bias between which 95% of differences lie


def summarise_diameters(cases: pd.DataFrame, draws: int) -> dict[str, int | float | None]:
    """The agreement over all cases, from their DIAMETERS and patients.

    n, n_expressions, n_patients        cross-sections, and of how many expressions and patients they are
    bias, bias_low, bias_high           mean difference over all cross-sections, in pixels, and the ends of its 95%
                                        interval over patients (null of one patient)
    sd                                  standard deviation of the differences over all cross-sections
    limit_low, limit_high               limits of agreement, bias -/+ 1.96 sd
    minimal_diameter_error, stenosis_error, each with _n  means over the expressions that have one
    """
    matched = cases[cases["diameter_n"] > 0]
    n, bias, sd = (matched[name].to_numpy(np.float64) for name in DIAMETERS[:3])
    known: dict[str, int | float | None] = {
        "n": int(n.sum()),
        "n_expressions": len(matched),
        "n_patients": int(matched["patient"].nunique()),
    }
    for name in DIAMETERS[3:]:
        known |= {name: plain(cases[name].mean()), f"{name}_n": int(cases[name].count())}
    if not len(matched):
        return known | dict.fromkeys(("bias", "bias_low", "bias_high", "sd", "limit_low", "limit_high"))
    sums = pd.DataFrame({"above": n * bias, "below": n}).groupby(matched["patient"].to_numpy()).sum()
    above, below = (sums[[name]].to_numpy() for name in ("above", "below"))
    mean = float(above.sum() / below.sum())
    # Of groups with known means and deviations the deviation of all: within them and between.
    whole = float(np.sqrt((n * (sd**2 + (bias - mean) ** 2)).sum() / n.sum()))
    low, high = bca_interval(ratio(above, below), len(sums), draws)
    return known | {
        "bias": mean,
        "bias_low": plain(np.asarray(low).ravel()[0]),
        "bias_high": plain(np.asarray(high).ravel()[0]),
        "sd": whole,
        "limit_low": mean - _LIMITS * whole,
        "limit_high": mean + _LIMITS * whole,
    }
