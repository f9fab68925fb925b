"""What the report calls the scores."""

from refvessel.metrics.calibre import CALIBRE_PRECISION, CALIBRE_RECALL
from refvessel.metrics.policy import DISTANCES, ERRORS


def _by_width(what: str, score: str) -> str:
    """`recall_width_4_to_6` as the report calls it."""
    return f"{what}, {score.partition('_width_')[2].replace('_', ' ')} px wide"


# In the order shown.
TITLES = {
    "dice": "Dice",
    "iou": "IoU",
    "precision": "Precision",
    "recall": "Recall",
    "specificity": "Specificity",
    "accuracy": "Accuracy",
    "mcc": "MCC",
    "hd95": "HD95",
    "assd": "ASSD",
    "masd": "MASD",
    "nsd": "NSD",
    "boundary_iou": "Boundary IoU",
    "cldice": "clDice",
    "skeleton_precision": "Skeleton precision",
    "skeleton_recall": "Skeleton recall",
    "betti0_error": "Betti error b0",
    "betti1_error": "Betti error b1",
    "betti0_matching_error": "Betti matching error b0",
    "betti1_matching_error": "Betti matching error b1",
    "cal": "CAL",
    "branch_point_error": "Branch points",
    "end_point_error": "End points",
    "connectivity": "Connectivity",
    "breaks": "Breaks",
    **{name: _by_width("Recall", name) for name in CALIBRE_RECALL},
    **{name: _by_width("Precision", name) for name in CALIBRE_PRECISION},
    "auc": "AUC",
    "average_precision": "Average precision",
    "ece": "Calibration error (ECE)",
    "border_brier": "Brier score near the border",
    "border_nll": "NLL near the border",
    "border_ece": "ECE near the border",
}


def best_value(score: str, distance_unit: str) -> str:
    """The best value that a score can have, with its unit: 0 of an error, 1 of the others."""
    if score in DISTANCES:
        return f"0 {distance_unit}"
    return "0" if score in ERRORS else "1"
