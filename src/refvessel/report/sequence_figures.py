"""A sequence as a strip of frames, as a small animation and as scores over time."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from PIL import Image, ImageColor, ImageDraw
from skimage.measure import find_contours

from refvessel import rle
from refvessel.metrics.sequences_summary import SEQUENCE
from refvessel.report.drawing import INK, PALETTE, PREDICTION, TRUTH, TWO_COLUMNS, printed_figure
from refvessel.report.overlays import case_panel, outline_keys, read_image
from refvessel.report.panels import write_panels

ANIMATION_SUFFIX = ".webp"
MOST_MOVING, MOST_IN_STRIP = 48, 6  # frames shown; of longer sequences as many, evenly spread

_SIDE = 256  # pixels of a frame's longer side
_PAUSE = 150  # milliseconds per frame
_QUALITY = 70  # of WebP
_SCORES = {"J": "-", "F": "--", "dice": ":"}  # told apart without colours, too
_STEADINESS = {"consistency": "prediction", "truth_consistency": "truth"}


def typical_sequences(sequences: pd.DataFrame) -> pd.DataFrame:
    """The sequences with the best, the median and the worst J&F; a column `rank` says which.

    Those whose J&F is equal stand in the order of their names; of fewer than three each is shown once.
    """
    shown = sequences.sort_values(["J&F", *SEQUENCE], ascending=[False, True, True])
    n = len(shown)
    ranks: dict[int, str] = {}
    for position, rank in ((0, "best"), ((n - 1) // 2, "median"), (n - 1, "worst")):
        ranks.setdefault(position, rank)
    return shown.iloc[list(ranks)].assign(rank=list(ranks.values()))


def spread(frames: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most so many of a sequence's frames, evenly spread from the first to the last."""
    places = np.unique(np.linspace(0, len(frames) - 1, min(most, len(frames))).round().astype(int))
    return frames.iloc[places]


def draw_strip(frames: pd.DataFrame, images: dict[str, Path], path: Path) -> None:
    """A panel per frame, at most MOST_IN_STRIP: its image with the outlines of truth and prediction.

    `frames` are those of one sequence with the columns of both tables of cases. Raises UserError where an image is
    missing, does not open or has another size than its masks.
    """
    shown = [
        case_panel(
            case,
            _small_image(images, case),
            title=f"frame {case['index'] + 1}",
            label=f"J {case['J']:.2f}, F {case['F']:.2f}",
        )
        for case in spread(frames, MOST_IN_STRIP).to_dict("records")
    ]
    write_panels([shown], outline_keys(), path, columns=MOST_IN_STRIP)


def draw_over_time(frames: pd.DataFrame, path: Path) -> None:
    """J, F and Dice of a sequence's frames, how steady masks are, and the areas, all over the frames' numbers."""
    time = frames["index"] + 1
    with printed_figure(path, TWO_COLUMNS, 5.2) as figure:
        scores, steadiness, areas = figure.subplots(3, 1, sharex=True)
        for (column, style), color in zip(_SCORES.items(), PALETTE, strict=False):
            scores.plot(time, frames[column], style, color=color, label=column.replace("dice", "Dice"))
        for (column, label), color in zip(_STEADINESS.items(), (PREDICTION, TRUTH), strict=True):
            steadiness.plot(time, frames[column], ".-", color=color, label=label)
        for column, color in (("predicted_pixels", PREDICTION), ("truth_pixels", TRUTH)):
            areas.plot(time, frames[column], ".-", color=color)
        for axes, name in ((scores, "Score"), (steadiness, "Consistency"), (areas, "Area, pixels")):
            _finish(axes, name)
        for axes in (scores, steadiness):
            axes.set_ylim(-0.04, 1.04)
            axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        areas.set_ylim(bottom=0)
        areas.set_xlabel("Frame", color=INK)


def _finish(axes: Axes, name: str) -> None:
    axes.set_ylabel(name)
    axes.grid(axis="both")
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def write_animation(frames: pd.DataFrame, images: dict[str, Path], path: Path) -> None:
    """An endless WebP of at most MOST_MOVING frames with both outlines; raises UserError as `draw_strip` does."""
    shown = [_with_outlines(case, images) for case in spread(frames, MOST_MOVING).to_dict("records")]
    first, *others = shown
    first.save(
        path,
        "WEBP",
        save_all=True,
        append_images=others,
        duration=_PAUSE,
        loop=0,
        quality=_QUALITY,
        method=4,
    )


def _small_image(images: dict[str, Path], case: Mapping[Any, Any]) -> Image.Image:
    image = read_image(images, case)
    image.thumbnail((_SIDE, _SIDE))
    return image


def _with_outlines(case: Mapping[Any, Any], images: dict[str, Path]) -> Image.Image:
    """A frame, reduced, with the outlines of its masks."""
    image = _small_image(images, case).convert("RGB")
    drawing, scale = ImageDraw.Draw(image), image.width / case["width"]
    for column, color in (("truth_mask", TRUTH), ("predicted_mask", PREDICTION)):
        padded = np.pad(rle.decode(case[column]), 1)
        for contour in find_contours(padded, 0.5):
            points = (contour[:, ::-1] - 0.5) * scale  # from (row, column) of the padded to (x, y)
            drawing.line([tuple(point) for point in points.tolist()], fill=ImageColor.getrgb(color))
    return image
