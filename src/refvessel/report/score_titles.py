"""What the report calls the scores: TITLES in English, as tables have them, and in the report's language."""

from refvessel.metrics.calibre import CALIBRE_PRECISION, CALIBRE_RECALL
from refvessel.metrics.policy import DISTANCES, ERRORS
from refvessel.report.group_words import worded_group
from refvessel.report.wording import worded
from refvessel.sentences import marked

_RECALL, _PRECISION = marked("Recall, %(width)s px wide"), marked("Precision, %(width)s px wide")
_OF_WIDTHS = {**dict.fromkeys(CALIBRE_RECALL, _RECALL), **dict.fromkeys(CALIBRE_PRECISION, _PRECISION)}


def _width(score: str) -> str:
    """`4 to 6` of `recall_width_4_to_6`."""
    return score.partition("_width_")[2].replace("_", " ")


# In the order shown.
TITLES = {
    "dice": "Dice",
    "iou": "IoU",
    "precision": marked("Precision"),
    "recall": marked("Recall"),
    "specificity": marked("Specificity"),
    "accuracy": marked("Accuracy"),
    "mcc": "MCC",
    "hd95": "HD95",
    "assd": "ASSD",
    "masd": "MASD",
    "nsd": "NSD",
    "boundary_iou": marked("Boundary IoU"),
    "cldice": "clDice",
    "skeleton_precision": marked("Skeleton precision"),
    "skeleton_recall": marked("Skeleton recall"),
    "betti0_error": marked("Betti error b0"),
    "betti1_error": marked("Betti error b1"),
    "betti0_matching_error": marked("Betti matching error b0"),
    "betti1_matching_error": marked("Betti matching error b1"),
    "cal": "CAL",
    "branch_point_error": marked("Branch points"),
    "end_point_error": marked("End points"),
    "connectivity": marked("Connectivity"),
    "breaks": marked("Breaks"),
    **{name: _RECALL % {"width": _width(name)} for name in CALIBRE_RECALL},
    **{name: _PRECISION % {"width": _width(name)} for name in CALIBRE_PRECISION},
    "auc": "AUC",
    "average_precision": marked("Average precision"),
    "ece": marked("Calibration error (ECE)"),
    "border_brier": marked("Brier score near the border"),
    "border_nll": marked("NLL near the border"),
    "border_ece": marked("ECE near the border"),
}


def worded_title(score: str) -> str:
    """What a report calls a score, in its language."""
    if score in _OF_WIDTHS:
        return worded(_OF_WIDTHS[score], width=worded_group(_width(score)))
    return worded(TITLES[score])


def best_value(score: str, distance_unit: str) -> str:
    """The best value that a score can have, with its unit: 0 of an error, 1 of the others."""
    if score in DISTANCES:
        return f"0 {distance_unit}"
    return "0" if score in ERRORS else "1"
