"""The groups that scores are broken down by, each a label for every case."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from refvessel.geometry import WIDTH_EDGES
from refvessel.metrics.overlap import COUNTS
from refvessel.sentences import marked

NO_VESSEL = marked("no vessel")
UNDER, RANGE = marked("under %(edge)s"), marked("%(low)s to %(high)s")
OR_MORE = marked("%(edge)s or more")

# Fixed edges, so that groups mean the same in every table; the lower edge belongs to a group, the upper does not.
_SHARE_EDGES = (0.01, 0.02, 0.05, 0.1)  # of the scored pixels
_MOST_REGIONS = 3


def subgroups(cases: pd.DataFrame) -> dict[str, pd.Series]:
    """Labels of the cases by the name of the grouping, in the order in which groups are shown.

    phrase, patient, truth_regions (components of the truth), vessel_width (mean of the truth, pixels),
    foreground_share (of the truth) and image_size (width x height).
    """
    scored = cases[list(COUNTS)].sum(axis="columns")
    widths = _binned(cases["vessel_width"], WIDTH_EDGES, "{:g} px".format)
    shares = _binned(cases["truth_pixels"] / scored, _SHARE_EDGES, "{:.0%}".format)
    sizes = pd.DataFrame({"width": cases["width"], "height": cases["height"]})
    areas = sizes.drop_duplicates().sort_values(["width", "height"])
    return {
        "phrase": cases["phrase"],
        "patient": cases["patient"],
        "truth_regions": _counted(cases["truth_regions"]),
        "vessel_width": widths,
        "foreground_share": shares.where(cases["truth_pixels"] > 0, NO_VESSEL),
        "image_size": _ordered(_size(sizes), list(_size(areas))),
    }


def _binned(values: pd.Series, edges: Sequence[float], written: Callable[[float], str]) -> pd.Series:
    names = [UNDER % {"edge": written(edges[0])}]
    names += [RANGE % {"low": written(low), "high": written(high)} for low, high in pairwise(edges)]
    names += [OR_MORE % {"edge": written(edges[-1])}]
    labels = np.array(names, object)[np.searchsorted(edges, values, side="right").clip(max=len(edges))]
    labels = np.where(values.isna(), NO_VESSEL, labels)
    return _ordered(pd.Series(labels, index=values.index), [NO_VESSEL, *names])


def _counted(regions: pd.Series) -> pd.Series:
    names = [NO_VESSEL, *map(str, range(1, _MOST_REGIONS)), OR_MORE % {"edge": _MOST_REGIONS}]
    labels = np.array(names, object)[regions.clip(upper=_MOST_REGIONS).astype(int)]
    return _ordered(pd.Series(labels, index=regions.index), names)


def _size(sizes: pd.DataFrame) -> pd.Series:
    return sizes["width"].astype(str) + "x" + sizes["height"].astype(str)


def _ordered(labels: pd.Series, names: list[str]) -> pd.Series:
    return labels.astype(pd.CategoricalDtype(names, ordered=True))
