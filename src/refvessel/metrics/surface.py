"""How far apart two masks' surfaces are: HD95, ASSD, MASD and NSD.

A mask's surface is its foreground pixels that have a background pixel, or the image's edge, above, below, to the
left or to the right. Distances run between pixel centres, from a surface pixel of one mask to the nearest one of
the other.
"""

import numpy as np

from refvessel.geometry import nearest_distances, positions, surface

SURFACE_SCORES = ("hd95", "assd", "masd", "nsd")


def surface_scores(
    prediction: np.ndarray, truth: np.ndarray, *, spacing: tuple[float, float], tolerance: float
) -> dict[str, float]:
    """SURFACE_SCORES of two masks; NaN where either has no foreground.

    hd95    the larger of the two directed 95th percentiles (linear between ranks) of the surface distances
    assd    the mean of all surface distances, both directions in one mean
    masd    the mean of the two directed means: each mask counts alike, however much surface it has
    nsd     the share of all surface pixels, of both masks, within `tolerance` of the other surface

    Args:
        prediction, truth: bool arrays of one shape (height, width).
        spacing: height and width of a pixel; distances and `tolerance` have its unit.
        tolerance: a distance equal to it is within.

    HD95, MASD and NSD as in Reinke et al., Nature Methods 2024 ("Understanding metric-related pitfalls").
    """
    if not (prediction.any() and truth.any()):
        return dict.fromkeys(SURFACE_SCORES, np.nan)
    from_prediction, from_truth = surface_distances(prediction, truth, spacing)
    both = np.concatenate([from_prediction, from_truth])
    return {
        "hd95": float(max(np.percentile(from_prediction, 95), np.percentile(from_truth, 95))),
        "assd": float(both.mean()),
        "masd": float((from_prediction.mean() + from_truth.mean()) / 2),
        "nsd": float((both <= tolerance).mean()),
    }


def surface_distances(
    first: np.ndarray, second: np.ndarray, spacing: tuple[float, float] = (1.0, 1.0)
) -> tuple[np.ndarray, np.ndarray]:
    """Of each surface pixel of `first` the distance to the surface of `second`, and the other way round.

    Float64, in row-major order of the surface pixels, in the unit of `spacing`. Both masks have foreground.
    """
    points = [positions(surface(mask)) * spacing for mask in (first, second)]
    return nearest_distances(points[0], points[1]), nearest_distances(points[1], points[0])
