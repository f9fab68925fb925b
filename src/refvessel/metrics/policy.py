"""What a score is worth where the truth, the prediction or both have no foreground: one table.

Trusted systems disagree here (nnU-Net drops the cases where both are empty, MONAI ignores false positives on
an empty truth), so the answer is data: the defaults below, changed cell by cell from the configuration.
"""

import math
from collections.abc import Mapping

import numpy as np

from refvessel.errors import UserError
from refvessel.metrics.calibre import CALIBRE_PRECISION, CALIBRE_RECALL
from refvessel.sentences import marked

# score -> emptiness -> value. A number is the score; None leaves the expression out of the score's means;
# "formula" keeps what the score's formula gives, which is None where that is 0/0; "diagonal" is the image's.
Cell = float | str | None
EmptyPolicy = Mapping[str, Mapping[str, Cell]]

FORMULA, DIAGONAL = marked("formula"), marked("diagonal")

_NOTHING_RIGHT: dict[str, Cell] = {"both_empty": 1.0, "truth_empty": 0.0, "prediction_empty": 0.0}
_OF_THE_TRUTH: dict[str, Cell] = {"both_empty": 1.0, "truth_empty": None, "prediction_empty": 0.0}
_DISTANCE: dict[str, Cell] = {"both_empty": 0.0, "truth_empty": DIAGONAL, "prediction_empty": DIAGONAL}
# Probabilities order the pixels of an empty mask, too; without foreground there is nothing to order.
_OF_PROBABILITIES: dict[str, Cell] = {"both_empty": None, "truth_empty": None, "prediction_empty": FORMULA}
_COUNTED: dict[str, Cell] = {"both_empty": 0.0, "truth_empty": FORMULA, "prediction_empty": FORMULA}
# A calibre that the truth, or the prediction, has nowhere leaves the image out of that calibre's mean.
_OF_THE_TRUTHS_CALIBRE: dict[str, Cell] = {
    "both_empty": None,
    "truth_empty": None,
    "prediction_empty": FORMULA,
}
_OF_THE_PREDICTIONS_CALIBRE: dict[str, Cell] = {
    "both_empty": None,
    "truth_empty": FORMULA,
    "prediction_empty": None,
}

EMPTY_POLICY: EmptyPolicy = {
    "dice": _NOTHING_RIGHT,
    "iou": _NOTHING_RIGHT,
    "precision": _NOTHING_RIGHT,
    "recall": _OF_THE_TRUTH,
    # The formula would give an empty answer, so also a failed one, a specificity of 1: it earns nothing here.
    "specificity": {"both_empty": 1.0, "truth_empty": FORMULA, "prediction_empty": 0.0},
    "accuracy": {"both_empty": 1.0, "truth_empty": FORMULA, "prediction_empty": 0.0},
    "mcc": _NOTHING_RIGHT,
    "hd95": _DISTANCE,
    "assd": _DISTANCE,
    "masd": _DISTANCE,
    "nsd": _NOTHING_RIGHT,
    "boundary_iou": _NOTHING_RIGHT,
    "cldice": _NOTHING_RIGHT,
    "skeleton_precision": _NOTHING_RIGHT,
    "skeleton_recall": _OF_THE_TRUTH,
    "betti0_error": _COUNTED,
    "betti1_error": _COUNTED,
    "betti0_matching_error": _COUNTED,
    "betti1_matching_error": _COUNTED,
    "cal": _NOTHING_RIGHT,
    "branch_point_error": _COUNTED,
    "end_point_error": _COUNTED,
    # Without a truth there is no tree to break; of an empty prediction the formulas say that all is lost.
    "connectivity": {"both_empty": 1.0, "truth_empty": None, "prediction_empty": FORMULA},
    "breaks": {"both_empty": 0.0, "truth_empty": None, "prediction_empty": FORMULA},
    **dict.fromkeys(CALIBRE_RECALL, _OF_THE_TRUTHS_CALIBRE),
    **dict.fromkeys(CALIBRE_PRECISION, _OF_THE_PREDICTIONS_CALIBRE),
    "auc": _OF_PROBABILITIES,
    "average_precision": _OF_PROBABILITIES,
    "ece": _OF_PROBABILITIES,
    "border_brier": _OF_PROBABILITIES,
    "border_nll": _OF_PROBABILITIES,
    "border_ece": _OF_PROBABILITIES,
}

SCORES = tuple(EMPTY_POLICY)

DISTANCES = ("hd95", "assd", "masd")

UNBOUNDED = (
    *DISTANCES,
    *("betti0_error", "betti1_error", "betti0_matching_error", "betti1_matching_error"),
    *("branch_point_error", "end_point_error", "breaks", "border_nll"),
)

# The best value of these is 0. All scores but the unbounded ones go from 0 to 1, the MCC from -1.
ERRORS = (*UNBOUNDED, "ece", "border_brier", "border_ece")


def resolve_policy(changes: EmptyPolicy | None = None) -> dict[str, dict[str, Cell]]:
    """The default table with `changes` laid over it, cell by cell.

    Raises UserError for an unknown score or emptiness and for a value that the score cannot have.
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
            known[emptiness] = _checked(score, emptiness, value)
    return policy


def apply_policy(
    values: np.ndarray,
    cells: Mapping[str, Cell],
    *,
    truth_pixels: np.ndarray,
    predicted_pixels: np.ndarray,
    diagonals: np.ndarray | float = np.nan,
) -> np.ndarray:
    """One score's values with its row of the policy applied; float64, NaN where undefined.

    `values`, `truth_pixels`, `predicted_pixels` (foreground sizes) and `diagonals` (of the images, in the unit of
    the score; only distances need them) have one entry per expression.
    """
    truth_empty, prediction_empty = truth_pixels == 0, predicted_pixels == 0
    where = {
        "both_empty": truth_empty & prediction_empty,
        "truth_empty": truth_empty & ~prediction_empty,
        "prediction_empty": ~truth_empty & prediction_empty,
    }
    values = values.astype(np.float64)
    for emptiness, value in cells.items():
        if value == DIAGONAL:
            values = np.where(where[emptiness], diagonals, values)
        elif value != FORMULA:
            values[where[emptiness]] = np.nan if value is None else value
    return values


def _checked(score: str, emptiness: str, value: Cell) -> Cell:
    words = (FORMULA, DIAGONAL) if score in DISTANCES else (FORMULA,)
    most = math.inf if score in UNBOUNDED else 1
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        if 0 <= value <= most and math.isfinite(value):
            return float(value)
    elif value is None or value in words:
        return value
    numbers = "a number from 0" if score in UNBOUNDED else "a number from 0 to 1"
    raise UserError(
        f"The empty-case policy has {value!r} for {score}.{emptiness}; "
        f"give {numbers}, null or {' or '.join(map(repr, words))}."
    )
