"""What a score is worth where the truth, the prediction or both have no foreground: one table.

Trusted systems disagree here (nnU-Net drops the cases where both are empty, MONAI ignores false positives on
an empty truth), so the answer is data: the defaults below, changed cell by cell from the configuration.
"""

from collections.abc import Mapping
from numbers import Real

import numpy as np

from refvessel.errors import UserError

# score -> emptiness -> value. A number is the score; None leaves the expression out of the score's means;
# "formula" keeps what the score's formula gives, which is None where that is 0/0.
EmptyPolicy = Mapping[str, Mapping[str, float | str | None]]

FORMULA = "formula"

EMPTY_POLICY: EmptyPolicy = {
    "dice": {"both_empty": 1.0, "truth_empty": 0.0, "prediction_empty": 0.0},
    "iou": {"both_empty": 1.0, "truth_empty": 0.0, "prediction_empty": 0.0},
    "precision": {"both_empty": 1.0, "truth_empty": 0.0, "prediction_empty": 0.0},
    "recall": {"both_empty": 1.0, "truth_empty": None, "prediction_empty": 0.0},
    # The formula would give an empty answer, so also a failed one, a specificity of 1: it earns nothing here.
    "specificity": {"both_empty": 1.0, "truth_empty": FORMULA, "prediction_empty": 0.0},
}


def resolve_policy(changes: EmptyPolicy | None = None) -> dict[str, dict[str, float | str | None]]:
    """The default table with `changes` laid over it, cell by cell.

    Raises UserError for an unknown score or emptiness and for a value that is no number from 0 to 1, None
    or "formula".
    """
    policy = {score: dict(cells) for score, cells in EMPTY_POLICY.items()}
    for score, cells in (changes or {}).items():
        if score not in policy:
            raise UserError(f"The empty-case policy names the score '{score}'; it knows {', '.join(policy)}.")
        for emptiness, value in cells.items():
            known = policy[score]
            if emptiness not in known:
                raise UserError(
                    f"The empty-case policy of {score} names the case '{emptiness}'; "
                    f"it knows {', '.join(known)}."
                )
            is_number = isinstance(value, Real) and not isinstance(value, bool)
            if not (value is None or value == FORMULA or (is_number and 0 <= value <= 1)):
                raise UserError(
                    f"The empty-case policy has {value!r} for {score}.{emptiness}; "
                    f"give a number from 0 to 1, null or '{FORMULA}'."
                )
            known[emptiness] = float(value) if is_number else value
    return policy


def apply_policy(
    values: np.ndarray,
    cells: Mapping[str, float | str | None],
    truth_pixels: np.ndarray,
    predicted_pixels: np.ndarray,
) -> np.ndarray:
    """One score's values with its row of the policy applied; float64, NaN where undefined.

    `values`, `truth_pixels` and `predicted_pixels` (foreground sizes) have one entry an expression.
    """
    truth_empty, prediction_empty = truth_pixels == 0, predicted_pixels == 0
    where = {
        "both_empty": truth_empty & prediction_empty,
        "truth_empty": truth_empty & ~prediction_empty,
        "prediction_empty": ~truth_empty & prediction_empty,
    }
    values = values.astype(np.float64)
    for emptiness, value in cells.items():
        if value != FORMULA:
            values[where[emptiness]] = np.nan if value is None else value
    return values
