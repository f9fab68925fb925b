"""The best, the median and the worst case of a phrase, drawn over their images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from PIL import Image
from skimage.measure import find_contours

from refvessel import rle
from refvessel.errors import UserError
from refvessel.image_files import decode_file
from refvessel.report.drawing import PREDICTION, TRUTH, svg_figure
from refvessel.report.printing import shortened
from refvessel.report.shown_breaks import break_handles, mark_breaks
from refvessel.sentences import marked

_PANEL = 3.1  # inches
_LABEL = 48  # characters that fit below a panel
_MAX_SIDE = 512  # pixels of an embedded image; larger ones are reduced to keep the page small


def typical_cases(cases: pd.DataFrame) -> pd.DataFrame:
    """Of `ranked_cases` those with the best, the median and the worst Dice; a column `rank` says which.

    Of equal ones the smaller sent_id comes first; of fewer than three cases each is shown once.
    """
    shown = ranked_cases(cases).sort_values(["dice", "sent_id"], ascending=[False, True])
    n = len(shown)
    ranks: dict[int, str] = {}
    places = ((0, marked("best")), ((n - 1) // 2, marked("median")), (n - 1, marked("worst")))
    for position, rank in places:
        if n:
            ranks.setdefault(position, rank)
    return shown.iloc[list(ranks)].assign(rank=list(ranks.values()))


def ranked_cases(cases: pd.DataFrame) -> pd.DataFrame:
    """The cases that have a Dice and a truth with foreground; all that have a Dice where no truth has any."""
    defined = cases.dropna(subset="dice")
    with_foreground = defined["truth_pixels"] > 0
    return defined[with_foreground] if with_foreground.any() else defined


def draw_overlays(cases: pd.DataFrame, images: dict[str, Path], path: Path, breaks: pd.DataFrame) -> None:
    """A panel a case of `typical_cases`: its image, the truth's outline and the prediction's, and its breaks.

    Args:
        cases: of `typical_cases`.
        images: the file of each by its image_id.
        path: SVG to write.
        breaks: of BREAKS_SCHEMA, of these cases and of others.

    Raises UserError where an image is missing, does not open or has another size than its masks.
    """
    with svg_figure(path, _PANEL * len(cases), _PANEL + 0.75) as figure:
        panels = figure.subplots(1, len(cases), squeeze=False)[0]
        for axes, case in zip(panels, cases.to_dict("records"), strict=True):
            draw_panel(axes, case, read_image(images, case))
            mark_breaks(axes, breaks[breaks["sent_id"] == case["sent_id"]])
            axes.set_title(f"{case['rank']}: Dice {case['dice']:.3f}", weight="bold")
            axes.set_xlabel(shortened(case["image_id"], _LABEL), fontsize=7)
        drawn = breaks[breaks["sent_id"].isin(cases["sent_id"])]
        figure.legend(
            handles=[*outline_handles(), *break_handles(drawn)], loc="outside lower center", ncols=4
        )


def draw_panel(axes: Axes, case: Mapping[Any, Any], image: Image.Image) -> None:
    """A case's image with the outlines of its truth, if there is any, and its prediction."""
    axes.imshow(image, extent=(-0.5, case["width"] - 0.5, case["height"] - 0.5, -0.5), interpolation="none")
    if case["truth_mask"] is not None:
        _outline(axes, case["truth_mask"], TRUTH, linewidth=1.5)
    _outline(axes, case["predicted_mask"], PREDICTION, linewidth=0.8)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def outline_handles() -> list[Line2D]:
    """What a legend says of the two outlines."""
    return [
        Line2D([], [], color=TRUTH, linewidth=2.5, label="truth"),
        Line2D([], [], color=PREDICTION, linewidth=2.5, label="prediction"),
    ]


def image_path(images: dict[str, Path], image_id: str) -> Path:
    """The file of an image; raises UserError where the dataset does not list it or the file is missing."""
    path = images.get(image_id)
    if path is None:
        raise UserError(
            f"The image {image_id} of the scores is not in the dataset; give the dataset they came from."
        )
    if not path.is_file():
        raise UserError(f"{path} does not exist; convert the dataset again.")
    return path


def read_image(images: dict[str, Path], case: Mapping[Any, Any], max_side: int = _MAX_SIDE) -> Image.Image:
    """A case's image as RGB, its longer side at most `max_side` pixels.

    Raises UserError as `draw_overlays` does.
    """
    path = image_path(images, case["image_id"])
    image = decode_file(path).convert("RGB")
    if image.size != (case["width"], case["height"]):
        raise UserError(
            f"{path} has {image.width}x{image.height} pixels (width x height) but was scored with "
            f"{case['width']}x{case['height']}; convert the dataset and score again."
        )
    image.thumbnail((max_side, max_side))
    return image


def _outline(axes: Axes, mask: rle.RLE, color: str, linewidth: float) -> None:
    padded = np.pad(rle.decode(mask), 1)  # so that a region at the border is closed
    contours = [contour[:, ::-1] - 1 for contour in find_contours(padded, 0.5)]  # (row, column) -> (x, y)
    axes.add_collection(LineCollection(contours, colors=color, linewidths=linewidth, capstyle="round"))
