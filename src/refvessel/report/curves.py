"""How the overlap scores depend on the threshold of the probabilities, from thresholds.csv."""

from pathlib import Path

import pandas as pd

from refvessel.mask_logits import MODEL_THRESHOLD
from refvessel.report.drawing import INK, PALETTE, svg_figure

_LINES = {"dice_mean": "Dice", "iou_mean": "IoU", "precision_mean": "precision", "recall_mean": "recall"}
_STYLES = ("-", "--", "-.", ":")  # told apart without colours, too


def draw_threshold_curves(thresholds: pd.DataFrame, path: Path) -> None:
    """The mean of four scores over the expressions at every threshold; the model's own is marked."""
    with svg_figure(path, 7.2, 3.4) as figure:
        axes = figure.subplots()
        for (column, label), color, style in zip(_LINES.items(), PALETTE, _STYLES, strict=False):
            axes.plot(thresholds["threshold"], thresholds[column], style, color=color, label=label)
        axes.axvline(MODEL_THRESHOLD, color=INK, linewidth=0.8)
        axes.set_xlim(0, 1)
        axes.set_ylim(-0.02, 1.02)
        axes.set_xlabel("Probability above which a pixel is foreground")
        axes.set_ylabel("Mean over expressions")
        axes.grid(axis="both")
        axes.set_axisbelow(True)
        figure.legend(loc="outside lower right", ncols=len(_LINES))
