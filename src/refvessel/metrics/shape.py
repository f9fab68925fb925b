"""Surface and topology scores of many pairs of masks, their breaks, and the size of each truth's vessels."""

import math
from collections.abc import Sequence
from itertools import repeat
from typing import Any

import numpy as np
import pandas as pd

from refvessel import rle
from refvessel.geometry import local_widths, mean_width
from refvessel.metrics.artefacts import TRUTH_ARTEFACTS, truth_artefacts
from refvessel.metrics.betti_matching import BETTI_MATCHING_SCORES, betti_matching_errors
from refvessel.metrics.boundary_iou import boundary_iou
from refvessel.metrics.breaks import BREAK_SCORES, Break, broken_tree
from refvessel.metrics.calibre import CALIBRE_PRECISION, CALIBRE_RECALL, found_by_calibre
from refvessel.metrics.centre_lines import LENGTHS, CentreLines
from refvessel.metrics.diameters import DIAMETERS, diameter_agreement
from refvessel.metrics.surface import SURFACE_SCORES, surface_scores
from refvessel.metrics.topology import TOPOLOGY_SCORES, Labels, Topology, topology_scores
from refvessel.parallel import call_each
from refvessel.rle import RLE

SHAPE_SCORES = (
    *SURFACE_SCORES,
    "boundary_iou",
    *TOPOLOGY_SCORES,
    *BREAK_SCORES,
    *BETTI_MATCHING_SCORES,
    *CALIBRE_RECALL,
    *CALIBRE_PRECISION,
)
# What tells one drawing of an outline from another, at a third of the work.
OUTLINE_SCORES = (*SURFACE_SCORES, *TOPOLOGY_SCORES)
SIZES = ("truth_regions", "vessel_width", *LENGTHS, *TRUTH_ARTEFACTS)
MISSED_CONNECTIONS = "missed_connections"  # of each pair a list of Break, its places those of the whole image

_PAIRS_PER_TASK = 8


def shape_scores(
    predictions: Sequence[RLE],
    truths: Sequence[RLE],
    *,
    spacings: Sequence[tuple[float, float]],
    tolerance: float,
    boundary_distance: int,
    centre_line_tolerance: int,
    threads: int,
) -> pd.DataFrame:
    """SHAPE_SCORES, SIZES and DIAMETERS of each pair of masks, float64, and MISSED_CONNECTIONS.

    One row a pair.

    A score is NaN where its formula is undefined. `truth_regions` counts the truth's 8-connected components;
    `vessel_width` is twice the mean distance, in pixels, from the truth's skeleton to the nearest background
    (NaN for an empty truth); LENGTHS are those of the centre lines, in pixels along their steps; for the others
    see `artefacts`.

    Args:
        predictions, truths: of each pair.
        spacings: of each pair, the height and the width of a pixel.
        tolerance: of the NSD, in pixels, of the side that a square of the same area would have.
        boundary_distance: of the boundary IoU, in pixels.
        centre_line_tolerance: of `broken_tree`, in pixels.
        threads: processes that share the work.
    """
    distances = (repeat(each) for each in (tolerance, boundary_distance, centre_line_tolerance))
    arguments = predictions, truths, spacings, *distances
    rows = call_each(_shape_of_pair, *arguments, threads=threads, calls_per_task=_PAIRS_PER_TASK)
    columns = [*SHAPE_SCORES, *SIZES, *DIAMETERS]
    scores = pd.DataFrame(rows, columns=columns, dtype=np.float64)
    return scores.assign(**{MISSED_CONNECTIONS: [row[MISSED_CONNECTIONS] for row in rows]})


def outline_scores(
    predictions: Sequence[RLE],
    truths: Sequence[RLE],
    *,
    spacings: Sequence[tuple[float, float]],
    tolerance: float,
    threads: int,
) -> pd.DataFrame:
    """OUTLINE_SCORES of each pair of masks, float64, one row a pair; arguments as of `shape_scores`."""
    arguments = predictions, truths, spacings, repeat(tolerance)
    rows = call_each(_outline_of_pair, *arguments, threads=threads, calls_per_task=_PAIRS_PER_TASK)
    return pd.DataFrame(rows, columns=list(OUTLINE_SCORES), dtype=np.float64)


def _outline_of_pair(
    prediction: RLE, truth: RLE, spacing: tuple[float, float], tolerance: float
) -> dict[str, float]:
    predicted, true, _ = _decoded(prediction, truth)
    return {
        **_surface(predicted, true, spacing, tolerance),
        **topology_scores(Topology.of(predicted), Topology.of(true)),
    }


def _shape_of_pair(
    prediction: RLE,
    truth: RLE,
    spacing: tuple[float, float],
    tolerance: float,
    boundary_distance: int,
    centre_line_tolerance: int,
) -> dict[str, Any]:
    predicted, true, box = _decoded(prediction, truth)
    predicted_topology, true_topology = Topology.of(predicted), Topology.of(true)
    labels = predicted_topology.labels, true_topology.labels
    matching = betti_matching_errors(*labels, Labels.of(predicted | true))
    artefacts = truth_artefacts(predicted, true, labels, matching)
    predicted_widths, true_widths = (
        local_widths(each.mask, each.skeleton) for each in (predicted_topology, true_topology)
    )
    recall = found_by_calibre(true_widths, predicted[true_topology.skeleton])
    precision = found_by_calibre(predicted_widths, true[predicted_topology.skeleton])
    lines = CentreLines.of(true_topology.skeleton, true_widths)
    broken = broken_tree(predicted, true, lines, centre_line_tolerance)
    return {
        **_surface(predicted, true, spacing, tolerance),
        "boundary_iou": boundary_iou(predicted, true, boundary_distance),
        **topology_scores(predicted_topology, true_topology),
        **dict(zip(BETTI_MATCHING_SCORES, matching, strict=True)),
        **dict(zip(CALIBRE_RECALL, recall, strict=True)),
        **dict(zip(CALIBRE_PRECISION, precision, strict=True)),
        "connectivity": broken.connectivity,
        "breaks": len(broken.breaks),
        **diameter_agreement(predicted, true, lines, centre_line_tolerance),
        "truth_regions": true_topology.components,
        "vessel_width": mean_width(true_widths),
        "truth_length": lines.length.sum(),
        "predicted_length": CentreLines.of(predicted_topology.skeleton, predicted_widths).length.sum(),
        **dict(zip(TRUTH_ARTEFACTS, artefacts, strict=True)),
        MISSED_CONNECTIONS: [_moved(each, box[0].start, box[1].start) for each in broken.breaks],
    }


def _decoded(prediction: RLE, truth: RLE) -> tuple[np.ndarray, np.ndarray, tuple[slice, slice]]:
    """Both masks, bool, within the box around what either has, and that box."""
    predicted, true = rle.decode(prediction).astype(bool), rle.decode(truth).astype(bool)
    box = box_around(predicted | true)
    return predicted[box], true[box], box


def _surface(
    predicted: np.ndarray, true: np.ndarray, spacing: tuple[float, float], tolerance: float
) -> dict[str, float]:
    side = math.sqrt(spacing[0] * spacing[1])
    return surface_scores(predicted, true, spacing=spacing, tolerance=tolerance * side)


def box_around(mask: np.ndarray) -> tuple[slice, slice]:
    """The smallest box around a mask's foreground, or one pixel: no score looks further."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return slice(0, 1), slice(0, 1)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _moved(found: Break, rows: int, columns: int) -> Break:
    return found._replace(row=found.row + int(rows), column=found.column + int(columns))
