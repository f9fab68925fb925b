"""What the truth's own artefacts, specks and pinholes of its drawing, contribute to the Betti matching errors."""

from typing import Any

import numpy as np
import pandas as pd

from refvessel.metrics.betti_matching import betti_matching_errors
from refvessel.metrics.topology import Labels

SPECK = 10  # pixels; components of fewer are artefacts
# Of a truth: components of fewer pixels than SPECK, holes of one pixel, and by how much the errors b0 and b1 are
# larger because of them.
TRUTH_ARTEFACTS = ("truth_specks", "truth_pinholes", "betti0_of_artefacts", "betti1_of_artefacts")


def truth_artefacts(
    prediction: np.ndarray, truth: np.ndarray, labels: tuple[Labels, Labels], errors: tuple[int, int]
) -> tuple[int, int, int, int]:
    """TRUTH_ARTEFACTS of a pair of bool masks of one shape (height, width).

    Args:
        prediction, truth: the masks.
        labels: of both.
        errors: their Betti matching errors b0 and b1.
    """
    of_prediction, of_truth = labels
    specks = np.bincount(of_truth.components[truth], minlength=1) < SPECK
    specks[0] = False
    in_holes = of_truth.background[1:-1, 1:-1].copy()
    in_holes[in_holes == of_truth.outside] = 0
    pinholes = np.bincount(in_holes[in_holes > 0], minlength=1) == 1
    n_specks = int(specks[1:].sum())
    n_pinholes = int(pinholes[1:].sum())
    if not (n_specks or n_pinholes):
        return 0, 0, 0, 0
    cleaned = (truth & ~specks[of_truth.components]) | pinholes[in_holes]
    union = Labels.of(prediction | cleaned)
    without = betti_matching_errors(of_prediction, Labels.of(cleaned), union)
    return n_specks, n_pinholes, errors[0] - without[0], errors[1] - without[1]


def artefacts_summary(cases: pd.DataFrame) -> dict[str, Any]:
    """How many artefacts the truths of a table of cases have, and what they add to the mean errors."""
    specks, pinholes, *added = (cases[name] for name in TRUTH_ARTEFACTS)
    return {
        "components": int(cases["truth_regions"].sum()),
        "specks": int(specks.sum()),
        "specks_below_pixels": SPECK,
        "pinholes": int(pinholes.sum()),
        "n_expressions": int(((specks > 0) | (pinholes > 0)).sum()),
        "of_expressions": len(cases),
        "betti0_matching_error_mean": float(added[0].mean()),
        "betti1_matching_error_mean": float(added[1].mean()),
    }
