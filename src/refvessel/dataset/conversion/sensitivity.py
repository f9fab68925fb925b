"""How much the truth depends on who draws it: the same polygons by other common rasterisers, against COCO's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import numpy as np
from skimage.morphology import skeletonize

from refvessel import rle
from refvessel.dataset.regions.polygons import Outlines
from refvessel.dataset.regions.rasterisers import draw_by_others
from refvessel.geometry import WIDTH_EDGES, vessel_width

_WIDTHS = {  # name -> upper bound
    f"under {WIDTH_EDGES[0]} px": WIDTH_EDGES[0],
    **{f"{low} to {high} px": high for low, high in pairwise(WIDTH_EDGES)},
    f"{WIDTH_EDGES[-1]} px or more": np.inf,
}


@dataclass(frozen=True)
class Redrawn:
    """One truth drawn again: its mean vessel width in pixels and, by rasteriser, Dice and relative area."""

    width: float
    dice: Mapping[str, float]
    area: Mapping[str, float]  # of the other mask over the truth's


def redraw(
    outlines: Mapping[str, list[Outlines] | None], truths: Mapping[str, Sequence[rle.RLE]]
) -> list[Redrawn]:
    """One per phrase whose truths are of polygons alone; `outlines` are those of the regions, by phrase."""
    redrawn = []
    for phrase, regions in outlines.items():
        if not regions or not any(rle.area(truth) for truth in truths.get(phrase, [])):
            continue
        polygons = list(chain.from_iterable(regions))
        truth = rle.decode(rle.union(truths[phrase])).astype(bool)
        others = draw_by_others(polygons, truth.shape)
        redrawn.append(
            Redrawn(
                vessel_width(truth, skeletonize(truth)),
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


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 6)
