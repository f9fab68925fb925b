"""The best, the median and the worst case of a phrase, drawn over their images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from refvessel.errors import UserError
from refvessel.image_files import decode_file
from refvessel.report.drawing import PREDICTION, TRUTH
from refvessel.report.panels import Key, Mark, Outline, Panel, write_panels
from refvessel.report.shown_breaks import break_keys, break_marks
from refvessel.sentences import marked

_MOST_SHOWN = 3  # of `typical_cases`
_MAX_SIDE = 400  # pixels of an embedded image, twice those of a screen; larger ones are reduced


def typical_cases(cases: pd.DataFrame) -> pd.DataFrame:
    """Of `ranked_cases` those with the best, the median and the worst Dice; a column `rank` says which.

    Of equal ones the smaller sent_id comes first; of fewer than three cases each is shown once.
    """
    few = cases[["sent_id", "dice", "truth_pixels"]].reset_index(drop=True)
    shown = ranked_cases(few).sort_values(["dice", "sent_id"], ascending=[False, True])
    n = len(shown)
    ranks: dict[int, str] = {}
    places = ((0, marked("best")), ((n - 1) // 2, marked("median")), (n - 1, marked("worst")))
    for position, rank in places:
        if n:
            ranks.setdefault(position, rank)
    return cases.iloc[shown.index[list(ranks)]].assign(rank=list(ranks.values()))


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
    shown = [
        case_panel(
            case,
            read_image(images, case),
            title=f"{case['rank']}: Dice {case['dice']:.3f}",
            label=case["image_id"],
            marks=break_marks(breaks[breaks["sent_id"] == case["sent_id"]]),
        )
        for case in cases.to_dict("records")
    ]
    drawn = breaks[breaks["sent_id"].isin(cases["sent_id"])]
    write_panels([shown], [*outline_keys(), *break_keys(drawn)], path, columns=_MOST_SHOWN)


def case_panel(
    case: Mapping[Any, Any], image: Image.Image, *, title: str, label: str, marks: Sequence[Mark] = ()
) -> Panel:
    """A case's image with the outlines of its truth, if there is any, and its prediction."""
    outlines = [Outline(case["predicted_mask"], PREDICTION, width=0.8)]
    if case["truth_mask"] is not None:
        outlines.insert(0, Outline(case["truth_mask"], TRUTH, width=1.5))
    return Panel(image, (case["width"], case["height"]), title, str(label), outlines, marks)


def outline_keys() -> list[Key]:
    """What a legend says of the two outlines."""
    return [Key("truth", TRUTH, "line"), Key("prediction", PREDICTION, "line")]


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
    """A case's image, RGB or 8-bit grey, its longer side at most `max_side` pixels.

    Raises UserError as `draw_overlays` does.
    """
    path = image_path(images, case["image_id"])
    image: Image.Image = decode_file(path)
    image = image if image.mode == "L" else image.convert("RGB")
    if image.size != (case["width"], case["height"]):
        raise UserError(
            f"{path} has {image.width}x{image.height} pixels (width x height) but was scored with "
            f"{case['width']}x{case['height']}; convert the dataset and score again."
        )
    image.thumbnail((max_side, max_side))
    return image
