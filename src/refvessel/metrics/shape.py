"""Surface and topology scores of many pairs of masks, and the size of each truth's vessels, in parallel."""

import math
from collections.abc import Sequence
from itertools import repeat

import numpy as np
import pandas as pd

from refvessel import rle
from refvessel.geometry import local_widths, mean_width
from refvessel.metrics.artefacts import TRUTH_ARTEFACTS, truth_artefacts
from refvessel.metrics.betti_matching import BETTI_MATCHING_SCORES, betti_matching_errors
from refvessel.metrics.boundary_iou import boundary_iou
from refvessel.metrics.calibre import CALIBRE_PRECISION, CALIBRE_RECALL, found_by_calibre
from refvessel.metrics.parallel import call_each
from refvessel.metrics.surface import SURFACE_SCORES, surface_scores
from refvessel.metrics.topology import TOPOLOGY_SCORES, Labels, Topology, topology_scores
from refvessel.rle import RLE

SHAPE_SCORES = (
    *SURFACE_SCORES,
    "boundary_iou",
    *TOPOLOGY_SCORES,
    *BETTI_MATCHING_SCORES,
    *CALIBRE_RECALL,
    *CALIBRE_PRECISION,
)
TRUTH_SIZES = ("truth_regions", "vessel_width", *TRUTH_ARTEFACTS)

_PAIRS_PER_TASK = 8


def shape_scores(
    predictions: Sequence[RLE],
    truths: Sequence[RLE],
    *,
    spacings: Sequence[tuple[float, float]],
    tolerance: float,
    boundary_distance: int,
    threads: int,
) -> pd.DataFrame:
    """SHAPE_SCORES and TRUTH_SIZES of each pair of masks, float64, one row a pair.

    A score is NaN where its formula is undefined. `truth_regions` counts the truth's 8-connected components;
    `vessel_width` is twice the mean distance, in pixels, from the truth's skeleton to the nearest background
    (NaN for an empty truth); for the others see `artefacts`.

    Args:
        predictions, truths: of each pair.
        spacings: of each pair, the height and the width of a pixel.
        tolerance: of the NSD, in pixels, of the side that a square of the same area would have.
        boundary_distance: of the boundary IoU, in pixels.
        threads: processes that share the work.
    """
    arguments = predictions, truths, spacings, repeat(tolerance), repeat(boundary_distance, len(truths))
    rows = call_each(_shape_of_pair, *arguments, threads=threads, calls_per_task=_PAIRS_PER_TASK)
    return pd.DataFrame(rows, columns=[*SHAPE_SCORES, *TRUTH_SIZES], dtype=np.float64)


def _shape_of_pair(
    prediction: RLE, truth: RLE, spacing: tuple[float, float], tolerance: float, boundary_distance: int
) -> dict[str, float]:
    predicted, true = cropped(rle.decode(prediction).astype(bool), rle.decode(truth).astype(bool))
    predicted_topology, true_topology = Topology.of(predicted), Topology.of(true)
    labels = predicted_topology.labels, true_topology.labels
    matching = betti_matching_errors(*labels, Labels.of(predicted | true))
    artefacts = truth_artefacts(predicted, true, labels, matching)
    predicted_widths, true_widths = (
        local_widths(each.mask, each.skeleton) for each in (predicted_topology, true_topology)
    )
    recall = found_by_calibre(true_widths, predicted[true_topology.skeleton])
    precision = found_by_calibre(predicted_widths, true[predicted_topology.skeleton])
    side = math.sqrt(spacing[0] * spacing[1])
    return {
        **surface_scores(predicted, true, spacing=spacing, tolerance=tolerance * side),
        "boundary_iou": boundary_iou(predicted, true, boundary_distance),
        **topology_scores(predicted_topology, true_topology),
        **dict(zip(BETTI_MATCHING_SCORES, matching, strict=True)),
        **dict(zip(CALIBRE_RECALL, recall, strict=True)),
        **dict(zip(CALIBRE_PRECISION, precision, strict=True)),
        "truth_regions": true_topology.components,
        "vessel_width": mean_width(true_widths),
        **dict(zip(TRUTH_ARTEFACTS, artefacts, strict=True)),
    }


def cropped(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both masks cut to the smallest box around their foreground: no score looks further."""
    either = first | second
    rows, columns = np.flatnonzero(either.any(axis=1)), np.flatnonzero(either.any(axis=0))
    if not rows.size:
        return first[:1, :1], second[:1, :1]
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return first[box], second[box]
