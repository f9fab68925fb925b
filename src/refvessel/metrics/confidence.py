"""Whether a model knows which of its masks are good: its predicted IoU beside what the masks are worth.

The most confident masks are kept and the others left to a human: the risk at a coverage is the mean 1 - Dice of
the kept share, and the AURC (area under the risk-coverage curve, Geifman et al., ICLR 2019) its mean over
all coverages. An order that says nothing has the mean 1 - Dice of all cases as AURC.
"""

from typing import Any

import numpy as np
import pandas as pd

from refvessel.metrics.bootstrap import Statistic, bca_interval
from refvessel.metrics.summary import plain

_BINS = 10
_POINTS = 20  # of the curve


def confidence_summary(cases: pd.DataFrame, draws: int) -> dict[str, Any] | None:
    """AURC with its 95% interval over patients, the curve behind it, and the reliability of the predicted IoU.

    A case without a predicted IoU, as a failed one, is the least confident: it stays in. Cases without a Dice are
    left out. None where no case has a predicted IoU.

    Args:
        cases: columns patient, dice, iou and predicted_iou.
        draws: of patients.

    Returns:
        `n`, of cases; `n_without`, of them without a predicted IoU; `n_patients`; `aurc`, `aurc_low` and
        `aurc_high`; `without_order`, the mean risk of all; `risk_coverage`, rows of `coverage` and `risk`;
        `reliability`, of each tenth of the predicted IoU that has cases its `low` and `high` end, `n`, and the
        means `predicted_iou` and `iou`.
    """
    known = cases[cases["dice"].notna()]
    if not known["predicted_iou"].notna().any():
        return None
    confidence = known["predicted_iou"].fillna(-np.inf).to_numpy()
    order = np.argsort(-confidence, kind="stable")
    risk = 1 - known["dice"].to_numpy()[order]
    patient, patients = pd.factorize(known["patient"].to_numpy()[order])
    _, tied = np.unique(-confidence[order], return_inverse=True)
    statistic = area_under_risk_coverage(risk, tied, patient)
    everyone = np.ones((1, len(patients)))
    low, high = bca_interval(statistic, len(patients), draws)
    curve = risk_at_coverage(risk, tied)
    shown = np.unique(np.linspace(1, len(curve), _POINTS).round().astype(int)) - 1
    return {
        "n": len(known),
        "n_without": int(known["predicted_iou"].isna().sum()),
        "n_patients": len(patients),
        "aurc": float(statistic(everyone)[0, 0]),
        "aurc_low": plain(low[0]),
        "aurc_high": plain(high[0]),
        "without_order": float(risk.mean()),
        "risk_coverage": [{"coverage": float((k + 1) / len(curve)), "risk": float(curve[k])} for k in shown],
        "reliability": _reliability(known.dropna(subset=["predicted_iou", "iou"])),
    }


def risk_at_coverage(risk: np.ndarray, tied: np.ndarray) -> np.ndarray:
    """The mean risk of the first 1, 2, ... cases, float64; cases of one confidence share their mean.

    Args:
        risk: of the cases, the most confident first.
        tied: ascending, the number of each case's group of equal confidence.
    """
    shared = (np.bincount(tied, weights=risk) / np.bincount(tied))[tied]
    return np.asarray(shared.cumsum() / np.arange(1, len(risk) + 1))


def area_under_risk_coverage(risk: np.ndarray, tied: np.ndarray, patient: np.ndarray) -> Statistic:
    """The AURC of drawn patients; a case that is drawn several times counts as often.

    Args:
        risk, tied: see `risk_at_coverage`.
        patient: the number of each case's patient.
    """

    def area(times: np.ndarray) -> float:
        drawn = np.repeat(np.arange(len(risk)), times[patient].astype(np.int64))
        groups = tied[drawn]  # ascending
        renumbered = np.append(0, (groups[1:] != groups[:-1]).cumsum())
        return float(risk_at_coverage(risk[drawn], renumbered).mean()) if len(drawn) else np.nan

    return lambda weights: np.array([[area(times)] for times in weights])


def _reliability(cases: pd.DataFrame) -> list[dict[str, Any]]:
    tenth = (cases["predicted_iou"] * _BINS).astype(int).clip(0, _BINS - 1)
    return [
        {
            "low": number / _BINS,
            "high": (number + 1) / _BINS,
            "n": len(some),
            "predicted_iou": float(some["predicted_iou"].mean()),
            "iou": float(some["iou"].mean()),
        }
        for number, some in ((int(str(each)), group) for each, group in cases.groupby(tenth))
    ]
