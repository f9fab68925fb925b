"""Predictions of a split against its truth: where the tree and the scores meet."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from refvessel.dataset.tree import read_expressions
from refvessel.metrics.bootstrap import DRAWS
from refvessel.metrics.predictions import read_predictions
from refvessel.metrics.score import NSD_TOLERANCE, score
from refvessel.provenance import file_record


def score_split(
    *,
    predictions: Path,
    dataset: Path,
    split: str,
    output: Path,
    policy: Mapping[str, Mapping[str, Any]] | None = None,
    nsd_tolerance: float = NSD_TOLERANCE,
    draws: int = DRAWS,
    max_failures: int = 0,
    cores: int = 1,
) -> dict[str, Any]:
    """Score the gathered predictions of a split; write cases.parquet and summary.json, return the summary.

    Args:
        predictions: Parquet table of `gather_predictions`.
        dataset: official RefCOCO tree.
        split: a split of the tree.
        output: folder of the two files.
        policy: cells of the empty-case policy that differ from the default.
        nsd_tolerance: of the NSD, in pixels.
        draws: of the bootstrap over patients.
        max_failures: more failed expressions than that are a finding.
        cores: processes that share the work.

    Raises:
        UserError: unless the predictions are exactly those of the split's expressions.
    """
    table, made_from = read_predictions(predictions)
    expressions = read_expressions(dataset, split)
    truth = pd.DataFrame(
        {
            "image_id": [each.image_id for each in expressions],
            "ref_id": [each.ref_id for each in expressions],
            "sent_id": [each.sent_id for each in expressions],
            "phrase": [each.phrase for each in expressions],
            "patient": [each.patient for each in expressions],
            "height": [each.height for each in expressions],
            "width": [each.width for each in expressions],
            "mask": [each.truth for each in expressions],
            "ignore_mask": [each.ignore_mask for each in expressions],
            "spacing": [each.spacing for each in expressions],
        }
    )
    provenance = {"predictions": made_from, "dataset": file_record(_description(dataset)), "split": split}
    return score(
        predictions=table,
        truth=truth,
        output=output,
        policy=policy,
        nsd_tolerance=nsd_tolerance,
        draws=draws,
        max_failures=max_failures,
        cores=cores,
        provenance=provenance,
    )


def _description(dataset: Path) -> Path:
    """The file that describes a tree: our own dataset.json, which a tree made by others does not have."""
    described = Path(dataset) / "dataset.json"
    return described if described.exists() else Path(dataset) / "ref_seg" / "refcoco" / "instances.json"
