"""How scores depend on the threshold of the probabilities, and on how confident the model is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from refvessel.mask_logits import MODEL_THRESHOLD
from refvessel.report.drawing import COLUMN, INK, PALETTE, TWO_COLUMNS, printed_figure

_LINES = {"dice_mean": "Dice", "iou_mean": "IoU", "precision_mean": "precision", "recall_mean": "recall"}
_STYLES = ("-", "--", "-.", ":")  # told apart without colours, too


def draw_threshold_curves(thresholds: pd.DataFrame, path: Path) -> None:
    """The mean of four scores over the expressions at every threshold, and precision over recall.

    The model's own threshold is marked.
    """
    with printed_figure(path, TWO_COLUMNS, 3.4) as figure:
        scores, balance = figure.subplots(1, 2, width_ratios=(3, 2))
        for (column, label), color, style in zip(_LINES.items(), PALETTE, _STYLES, strict=False):
            scores.plot(thresholds["threshold"], thresholds[column], style, color=color, label=label)
        scores.axvline(MODEL_THRESHOLD, color=INK, linewidth=0.8)
        scores.set_xlabel("Probability above which a pixel is foreground")
        scores.set_ylabel("Mean over expressions")
        balance.plot(thresholds["recall_mean"], thresholds["precision_mean"], color=PALETTE[0])
        own = thresholds[thresholds["threshold"] == MODEL_THRESHOLD]
        balance.plot(own["recall_mean"], own["precision_mean"], "o", color=INK, markersize=4)
        balance.set_xlabel("Recall, mean over expressions")
        balance.set_ylabel("Precision, mean over expressions")
        for axes in (scores, balance):
            _of_shares(axes)
        figure.legend(loc="outside lower right", ncols=len(_LINES))


def draw_confidence(confidence: Mapping[str, Any], path: Path) -> None:
    """Two curves from `confidence` of a summary: the risk at each coverage, and the IoU at each predicted IoU."""
    with printed_figure(path, TWO_COLUMNS, 3.4) as figure:
        risks, reliability = figure.subplots(1, 2)
        curve = pd.DataFrame(confidence["risk_coverage"])
        risks.plot(curve["coverage"], curve["risk"], color=PALETTE[0], marker=".")
        risks.axhline(confidence["without_order"], color=INK, linewidth=0.8, linestyle=":")
        risks.set_xlabel("Coverage: share of the most confident cases")
        risks.set_ylabel("Mean 1 \N{MINUS SIGN} Dice of them")
        bins = pd.DataFrame(confidence["reliability"])
        reliability.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
        reliability.plot(bins["predicted_iou"], bins["iou"], color=PALETTE[1], marker="o")
        for each in bins.itertuples():
            reliability.annotate(
                str(each.n), (each.predicted_iou, each.iou), (4, -9), textcoords="offset points"
            )
        reliability.set_xlabel("Predicted IoU")
        reliability.set_ylabel("IoU")
        for axes in (risks, reliability):
            _of_shares(axes)


def draw_border_reliability(reliability: Mapping[str, Any], path: Path) -> None:
    """The share of foreground at each predicted probability, of `border_reliability` of a summary."""
    bins = pd.DataFrame(reliability["bins"]).astype(float)
    with printed_figure(path, COLUMN, 3.2) as figure:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
        axes.vlines(bins["probability"], bins["low"], bins["high"], color=PALETTE[0], linewidth=1.4)
        axes.plot(bins["probability"], bins["foreground"], color=PALETTE[0], marker="o", markersize=4)
        axes.set_xlabel("Mean probability of the pixels of a bin")
        axes.set_ylabel("Share of them that is vessel")
        _of_shares(axes)


def _of_shares(axes: Axes) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.02, 1.02)
    axes.grid(axis="both")
    axes.set_axisbelow(True)
