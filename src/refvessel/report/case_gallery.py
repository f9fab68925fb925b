"""Cases as pictures: agreement, what is missed and what is false in colours over the image."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch
from PIL import Image

from refvessel import rle
from refvessel.answer_status import Status
from refvessel.report.drawing import AGREEMENT, FALSE, MISSED, TWO_COLUMNS, svg_figure
from refvessel.report.overlays import read_image
from refvessel.report.printing import shortened
from refvessel.sentences import marked

MOST_OF_A_KIND = 4  # cases

_GALLERY_SIDE, _ROW_SIDE = 192, 320  # pixels of a picture's longer side
_OPACITY = 0.6
_LABEL = 24  # characters below a picture
KINDS = {
    "cldice": marked("worst clDice"),
    "hd95": marked("worst HD95"),
    "false": marked("vessel where the truth has none"),
    "unanswered": marked("failed expressions"),
}


def failures(cases: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The cases of each of KINDS that has any, the worst first, at most MOST_OF_A_KIND.

    Of the two scores only answered cases whose truth has a vessel are among the worst; of equal ones the smaller
    sent_id comes first.
    """
    answered = cases[(cases["status"] == Status.OK) & (cases["truth_pixels"] > 0)]
    empty = cases[(cases["truth_pixels"] == 0) & (cases["predicted_pixels"] > 0)]
    found = {
        "cldice": answered.dropna(subset="cldice").sort_values(["cldice", "sent_id"]),
        "hd95": answered.dropna(subset="hd95").sort_values(["hd95", "sent_id"], ascending=[False, True]),
        "false": empty.sort_values(["predicted_pixels", "sent_id"], ascending=[False, True]),
        "unanswered": cases[cases["status"] == Status.FAILED].sort_values("sent_id"),
    }
    return {kind: some.head(MOST_OF_A_KIND) for kind, some in found.items() if len(some)}


def draw_gallery(
    shown: Mapping[str, pd.DataFrame], images: dict[str, Path], distance_unit: str, path: Path
) -> None:
    """A row of pictures for each kind of `failures`.

    Args:
        shown: of `failures`.
        images: the file of each by its image_id.
        distance_unit: of HD95.
        path: SVG to write.

    Raises UserError where an image is missing, does not open or has another size than its masks.
    """
    height = TWO_COLUMNS / MOST_OF_A_KIND + 0.35
    with svg_figure(path, TWO_COLUMNS, height * len(shown) + 0.3) as figure:
        panels = figure.subplots(len(shown), MOST_OF_A_KIND, squeeze=False)
        for axes in panels.ravel():
            axes.set_axis_off()
        for line, (kind, cases) in zip(panels, shown.items(), strict=True):
            for axes, case in zip(line, cases.to_dict("records"), strict=False):
                _show(axes, coloured(case, images, _GALLERY_SIDE), _told(kind, case, distance_unit))
        figure.legend(handles=_handles(), loc="outside lower center", ncols=3)


def draw_task(cases: Mapping[str, Mapping[Any, Any]], images: dict[str, Path], path: Path) -> None:
    """One row: the image, the truth, and each model's prediction of one expression.

    Args:
        cases: a row of each model's table of cases, of the same expression.
        images: the file of each by its image_id.
        path: SVG to write.

    Raises UserError as `draw_gallery` does.
    """
    first = next(iter(cases.values()))
    plain = _reduced(read_image(images, first), _ROW_SIDE)
    truth = coloured({**first, "predicted_mask": first["truth_mask"]}, images, _ROW_SIDE)
    panels = [(plain, "image"), (truth, "truth")]
    panels += [
        (coloured(case, images, _ROW_SIDE), f"{shortened(model, _LABEL)}: Dice {_number(case['dice'])}")
        for model, case in cases.items()
    ]
    side = TWO_COLUMNS * 1.4 / max(4, len(panels))
    with svg_figure(path, side * len(panels), side + 0.6) as figure:
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for each, (picture, title) in zip(axes, panels, strict=True):
            each.set_axis_off()
            _show(each, picture, title)
        figure.legend(handles=_handles(), loc="outside lower center", ncols=3)


def coloured(case: Mapping[Any, Any], images: dict[str, Path], side: int) -> Image.Image:
    """A case's image, its longer side at most `side` pixels, with its pixels in colours: RGB."""
    truth, predicted = (rle.decode(case[name]).astype(bool) for name in ("truth_mask", "predicted_mask"))
    colours = np.zeros((*truth.shape, 4), np.uint8)
    for pixels, colour in (
        (truth & predicted, AGREEMENT),
        (truth & ~predicted, MISSED),
        (predicted & ~truth, FALSE),
    ):
        colours[pixels] = [*(round(255 * part) for part in to_rgb(colour)), round(255 * _OPACITY)]
    image = _reduced(read_image(images, case), side)
    layer = Image.fromarray(colours).resize(image.size, Image.Resampling.BOX)
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")


def _reduced(image: Image.Image, side: int) -> Image.Image:
    image.thumbnail((side, side))
    return image


def _show(axes: Axes, picture: Image.Image, title: str) -> None:
    axes.imshow(picture, interpolation="none")
    axes.set_title(title, fontsize=8)


def _told(kind: str, case: Mapping[Any, Any], distance_unit: str) -> str:
    said = {
        "cldice": f"clDice {_number(case['cldice'])}",
        "hd95": f"HD95 {_number(case['hd95'], 1)} {distance_unit}",
        "false": f"{case['predicted_pixels']} px",
        "unanswered": "failed expression",
    }
    return f"{said[kind]}\n{shortened(case['image_id'], _LABEL)}"


def _number(value: float, decimals: int = 3) -> str:
    return "undefined" if value != value else f"{value:.{decimals}f}"


def _handles() -> Sequence[Patch]:
    colours = {"agreement": AGREEMENT, "missed": MISSED, "false": FALSE}
    return [Patch(color=colour, label=label) for label, colour in colours.items()]
