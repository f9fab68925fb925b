"""The same polygons by other common rasterisers than COCO's.

Each takes the coordinates as they are and draws what its users usually get: OpenCV's `fillPoly` after
truncating or rounding to whole pixels, Pillow's `ImageDraw.polygon`, scikit-image's `draw.polygon`.
"""

import hashlib
from collections.abc import Callable, Iterable
from functools import cache

import numpy as np
from PIL import Image, ImageDraw
from skimage.measure import points_in_poly

from refvessel.dataset.regions.polygons import Outlines

SAMPLE = 200  # images that are drawn again; of larger data sets, those whose ids have the smallest SHA-256

# Draws a (points, 2) polygon into a uint8 (height, width) mask.
Rasteriser = Callable[[np.ndarray, np.ndarray], None]


def sampled(image_ids: Iterable[str]) -> set[str]:
    """The ids of the images to draw again."""
    return set(sorted(image_ids, key=lambda name: hashlib.sha256(name.encode()).digest())[:SAMPLE])


@cache
def opencv_is_installed() -> bool:
    """True if OpenCV's rasteriser can be compared (the extra `sensitivity`)."""
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


def _draw_by_pillow(polygon: np.ndarray, mask: np.ndarray) -> None:
    image = Image.fromarray(mask)
    ImageDraw.Draw(image).polygon([tuple(point) for point in polygon.tolist()], fill=1)
    mask[:] = np.asarray(image)


def _draw_by_skimage(polygon: np.ndarray, mask: np.ndarray) -> None:
    """As `draw.polygon` does, which asks of each pixel of the bounding box whether it is inside.

    Here those of a row are asked about that lie between its outermost edges: of a slanting vessel, far fewer.
    """
    height, width = mask.shape
    leftmost, rightmost = np.full(height, np.inf), np.full(height, -np.inf)
    edges = np.stack([polygon, np.roll(polygon, 1, axis=0)])  # (2 ends, edges, 2)
    rows = np.clip([np.floor(edges[..., 1].min(0)) - 1, np.ceil(edges[..., 1].max(0)) + 2], 0, height)
    touched = zip(edges[..., 0].min(0), edges[..., 0].max(0), *rows.astype(int), strict=True)
    for left, right, first, last in touched:
        np.minimum(leftmost[first:last], left, out=leftmost[first:last])
        np.maximum(rightmost[first:last], right, out=rightmost[first:last])
    columns = np.arange(width)
    between = (columns >= leftmost[:, None] - 1) & (columns <= rightmost[:, None] + 1)
    places = np.argwhere(between)
    inside = places[points_in_poly(places[:, ::-1], polygon)]
    mask[inside[:, 0], inside[:, 1]] = 1


def _draw_by_opencv_truncated(polygon: np.ndarray, mask: np.ndarray) -> None:
    import cv2

    cv2.fillPoly(mask, [polygon.astype(np.int32)], 1)


def _draw_by_opencv_rounded(polygon: np.ndarray, mask: np.ndarray) -> None:
    import cv2

    cv2.fillPoly(mask, [np.rint(polygon).astype(np.int32)], 1)
