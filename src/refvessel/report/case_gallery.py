"""Cases as pictures: agreement, what is missed and what is false in colours over the image."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageColor

from refvessel import rle
from refvessel.report.drawing import AGREEMENT, FALSE, MISSED
from refvessel.report.overlays import read_image
from refvessel.report.panels import Key, Panel, write_panels
from refvessel.report.printing import printable
from refvessel.report.worst_cases import MOST_OF_A_KIND
from refvessel.sentences import marked

_GALLERY_SIDE, _ROW_SIDE = 192, 320  # pixels of a picture's longer side
_OPACITY = 0.6
_FEWEST = 4  # pictures that share the width of the row of the task
KINDS = {
    "cldice": marked("worst clDice"),
    "hd95": marked("worst HD95"),
    "false": marked("vessel where the truth has none"),
    "unanswered": marked("failed expressions"),
}


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
    rows = [
        [
            _panel(case, coloured(case, images, _GALLERY_SIDE), _told(kind, case, distance_unit))
            for case in some
        ]
        for kind, some in ((kind, cases.to_dict("records")) for kind, cases in shown.items())
    ]
    write_panels(rows, _keys(), path, columns=MOST_OF_A_KIND)


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
    row = [_panel(first, plain, "image"), _panel(first, truth, "truth")]
    row += [
        _panel(case, coloured(case, images, _ROW_SIDE), f"{printable(model)}\nDice {_number(case['dice'])}")
        for model, case in cases.items()
    ]
    write_panels([row], _keys(), path, columns=max(_FEWEST, len(row)))


def coloured(case: Mapping[Any, Any], images: dict[str, Path], side: int) -> Image.Image:
    """A case's image, its longer side at most `side` pixels, with its pixels in colours: RGB."""
    truth, predicted = (rle.decode(case[name]).astype(bool) for name in ("truth_mask", "predicted_mask"))
    colours = np.zeros((*truth.shape, 4), np.uint8)
    for pixels, colour in (
        (truth & predicted, AGREEMENT),
        (truth & ~predicted, MISSED),
        (predicted & ~truth, FALSE),
    ):
        colours[pixels] = [*ImageColor.getrgb(colour), round(255 * _OPACITY)]
    image = _reduced(read_image(images, case), side)
    layer = Image.fromarray(colours).resize(image.size, Image.Resampling.BOX)
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")


def _reduced(image: Image.Image, side: int) -> Image.Image:
    image.thumbnail((side, side))
    return image


def _panel(case: Mapping[Any, Any], picture: Image.Image, title: str) -> Panel:
    return Panel(picture, (case["width"], case["height"]), title)


def _told(kind: str, case: Mapping[Any, Any], distance_unit: str) -> str:
    said = {
        "cldice": f"clDice {_number(case['cldice'])}",
        "hd95": f"HD95 {_number(case['hd95'], 1)} {distance_unit}",
        "false": f"{case['predicted_pixels']} px",
        "unanswered": "failed expression",
    }
    return f"{said[kind]}\n{printable(case['image_id'])}"


def _number(value: float, decimals: int = 3) -> str:
    return "undefined" if value != value else f"{value:.{decimals}f}"


def _keys() -> list[Key]:
    colours = {"agreement": AGREEMENT, "missed": MISSED, "false": FALSE}
    return [Key(label, colour, "patch") for label, colour in colours.items()]
