"""How much the truth depends on who draws it: the same polygons by other common rasterisers, against COCO's.

Each takes the coordinates as they are and draws what its users usually get: OpenCV's `fillPoly` after
truncating or rounding to whole pixels, Pillow's `ImageDraw.polygon`, scikit-image's `draw.polygon`.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import distance_transform_edt
from skimage.draw import polygon as skimage_polygon
from skimage.morphology import skeletonize

from refvessel import masks
from refvessel.dataset.outlines import Outlines
from refvessel.dataset.truths import Truths

SAMPLE = 200  # images that are drawn again; of larger data sets, those whose ids have the smallest SHA-256
_WIDTHS = {"under 4 px": 4, "4 to 6 px": 6, "6 to 10 px": 10, "10 px and more": np.inf}  # name -> upper bound

Rasteriser = Callable[
    [np.ndarray, np.ndarray], None
]  # draws a (points, 2) polygon into a uint8 (height, width) mask


@dataclass(frozen=True)
class Redrawn:
    """One truth drawn again: its mean vessel width in pixels and, by rasteriser, Dice and relative area."""

    width: float
    dice: Mapping[str, float]
    area: Mapping[str, float]  # of the other mask over the truth's


def sampled(image_ids: Iterable[str]) -> set[str]:
    """The ids of the images to draw again."""
    return set(sorted(image_ids, key=lambda name: hashlib.sha256(name.encode()).digest())[:SAMPLE])


def redraw(outlines: Mapping[str, list[Outlines] | None], truths: Truths) -> list[Redrawn]:
    """The truths of polygons alone, a phrase each, drawn again; `outlines` are those of the regions, by phrase."""
    redrawn = []
    for phrase, regions in outlines.items():
        if not regions or not any(masks.area(truth) for truth in truths.by_phrase.get(phrase, [])):
            continue
        polygons = list(chain.from_iterable(regions))
        truth = masks.decode(masks.union(truths.by_phrase[phrase])).astype(bool)
        others = draw_by_others(polygons, truth.shape)
        redrawn.append(
            Redrawn(
                vessel_width(truth),
                {
                    name: float(2 * (truth & other).sum() / (truth.sum() + other.sum()))
                    for name, other in others.items()
                },
                {name: float(other.sum() / truth.sum()) for name, other in others.items()},
            )
        )
    return redrawn


def summarise_redrawn(redrawn: Sequence[Redrawn], images: int) -> dict[str, Any] | None:
    """Mean Dice and relative area by rasteriser, in all and by vessel width; None where there is nothing."""
    if not redrawn:
        return None
    groups = {"all": list(redrawn)} | {name: [] for name in _WIDTHS}
    for truth in redrawn:
        groups[next(name for name, bound in _WIDTHS.items() if truth.width < bound)].append(truth)
    return {
        "images": images,
        "truths": len(redrawn),
        "by_width": {
            name: {
                "truths": len(group),
                "dice_mean": {key: _mean([truth.dice[key] for truth in group]) for key in redrawn[0].dice},
                "area_mean": {key: _mean([truth.area[key] for truth in group]) for key in redrawn[0].area},
            }
            for name, group in groups.items()
            if group
        },
    }


@cache
def opencv_is_installed() -> bool:
    """Whether OpenCV's rasteriser can be compared (the extra `sensitivity`)."""
    try:
        import cv2  # noqa: F401
    except ModuleNotFoundError:
        return False
    return True


def rasterisers() -> dict[str, Rasteriser]:
    """The other rasterisers by name; OpenCV's only where it is installed."""
    others: dict[str, Rasteriser] = {"pillow": _draw_by_pillow, "scikit-image": _draw_by_skimage}
    if opencv_is_installed():
        others = {
            "opencv truncated": _draw_by_opencv_truncated,
            "opencv rounded": _draw_by_opencv_rounded,
        } | others
    return others


def draw_by_others(polygons: Outlines, shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """By rasteriser, the union of the polygons as a bool mask of `shape`, (height, width)."""
    drawn = {}
    for name, draw in rasterisers().items():
        mask = np.zeros(shape, np.uint8)
        for polygon in polygons:
            draw(polygon, mask)
        drawn[name] = mask.astype(bool)
    return drawn


def vessel_width(mask: np.ndarray) -> float:
    """Twice the mean distance to the background on the skeleton of a non-empty mask, in pixels."""
    rows, columns = np.nonzero(mask)
    part = np.pad(mask[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1], 1)
    return float(2 * distance_transform_edt(part)[skeletonize(part)].mean())


def _draw_by_pillow(polygon: np.ndarray, mask: np.ndarray) -> None:
    image = Image.fromarray(mask)
    ImageDraw.Draw(image).polygon([tuple(point) for point in polygon.tolist()], fill=1)
    mask[:] = np.asarray(image)


def _draw_by_skimage(polygon: np.ndarray, mask: np.ndarray) -> None:
    mask[skimage_polygon(polygon[:, 1], polygon[:, 0], mask.shape)] = 1


def _draw_by_opencv_truncated(polygon: np.ndarray, mask: np.ndarray) -> None:
    import cv2

    cv2.fillPoly(mask, [polygon.astype(np.int32)], 1)


def _draw_by_opencv_rounded(polygon: np.ndarray, mask: np.ndarray) -> None:
    import cv2

    cv2.fillPoly(mask, [np.rint(polygon).astype(np.int32)], 1)


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 6)
