"""Diameters between the pixels: where logits are stored, the predictions' walls are where their logits cross 0."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from refvessel import rle
from refvessel.geometry import local_widths
from refvessel.metrics.centre_lines import CentreLines
from refvessel.metrics.diameters import DIAMETERS, diameter_agreement
from refvessel.metrics.topology import skeleton
from refvessel.parallel import call_each
from refvessel.predictions.logits_file import read_logits, stored_sent_ids
from refvessel.predictions.upsampling import image_logits

_EXPRESSIONS_PER_TASK = 16
_OTHER = 0.01  # share of a mask's pixels by which it may differ from its logits and still be theirs


def logit_diameters(
    paired: pd.DataFrame, logits: Sequence[Path], *, tolerance: float, threads: int
) -> pd.DataFrame:
    """DIAMETERS from stored logits, float64, by the index of `paired`; of what has none, no row.

    A refined mask is not that of its logits any more, and has none either.

    Args:
        paired: as `pair_expressions` gives it.
        logits: files of the logits of these predictions.
        tolerance: as of `diameter_agreement`.
        threads: processes that share the work.
    """
    index = dict(zip(paired["sent_id"], paired.index, strict=True))
    rows = paired.set_index("sent_id")[["scored_truth", "mask_predicted", "ignore_mask"]]
    tasks: list[tuple[Path, list[tuple[int, Any]]]] = []
    for path in logits:
        known = [(each, rows.loc[each].to_dict()) for each in stored_sent_ids(path) if each in index]
        tasks += [
            (Path(path), known[first : first + _EXPRESSIONS_PER_TASK])
            for first in range(0, len(known), _EXPRESSIONS_PER_TASK)
        ]
    if not tasks:
        return pd.DataFrame(columns=DIAMETERS, dtype=np.float64)
    paths, some, tolerances = (*zip(*tasks, strict=True), [tolerance] * len(tasks))
    measured = [
        each for done in call_each(_measured, paths, some, tolerances, threads=threads) for each in done
    ]
    found = pd.DataFrame([values for _, values in measured], columns=DIAMETERS, dtype=np.float64)
    return found.set_axis([index[sent_id] for sent_id, _ in measured])


def _measured(
    path: Path, rows: list[tuple[int, dict[str, Any]]], tolerance: float
) -> list[tuple[int, dict[str, float]]]:
    """Of some expressions of one file, those whose masks are those of their logits."""
    found = []
    stored = read_logits(path, [sent_id for sent_id, _ in rows])
    for (sent_id, row), (_, logits) in zip(rows, stored, strict=True):
        truth = rle.decode(row["scored_truth"]).astype(bool)
        predicted = rle.decode(row["mask_predicted"]).astype(bool)
        field = image_logits(logits, height=truth.shape[0], width=truth.shape[1]).max(axis=0)
        if np.count_nonzero((field > 0) != predicted) > _OTHER * np.count_nonzero(predicted):
            continue
        if row["ignore_mask"] is not None:
            field = np.where(rle.decode(row["ignore_mask"]).astype(bool), -1, field)
        centre_lines = skeleton(truth)
        lines = CentreLines.of(centre_lines, local_widths(truth, centre_lines))
        found.append((sent_id, diameter_agreement(field, truth, lines, tolerance)))
    return found
