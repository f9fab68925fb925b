"""What the report calls the scores."""

# In the order shown.
TITLES = {
    "dice": "Dice",
    "iou": "IoU",
    "precision": "Precision",
    "recall": "Recall",
    "specificity": "Specificity",
    "hd95": "HD95",
    "assd": "ASSD",
    "nsd": "NSD",
    "cldice": "clDice",
    "skeleton_precision": "Skeleton precision",
    "skeleton_recall": "Skeleton recall",
    "betti0_error": "Betti error b0",
    "betti1_error": "Betti error b1",
    "cal": "CAL",
    "branch_point_error": "Branch points",
    "end_point_error": "End points",
    "connectivity": "Connectivity",
    "breaks": "Breaks",
    "auc": "AUC",
    "average_precision": "Average precision",
    "ece": "Calibration error (ECE)",
}
