"""Gathered predictions at another threshold and after post-processing: a table of its own."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from refvessel.errors import UserError
from refvessel.files import read_json
from refvessel.mask_logits import MODEL_THRESHOLD
from refvessel.predictions.logits_file import read_logits
from refvessel.predictions.postprocessing import drop_small_components, fill_small_holes
from refvessel.predictions.prediction import Prediction
from refvessel.predictions.run_file import TUNED_FOR
from refvessel.predictions.table import read_records, write_predictions
from refvessel.predictions.upsampling import masks_of_logits
from refvessel.provenance import file_record, versions
from refvessel.rle import RLE, decode, empty, encode, is_rle, union
from refvessel.settings.refinement_section import Refinement


def refine_predictions(
    *,
    predictions: Path,
    output: Path,
    settings: Refinement,
    logits: Sequence[Path] = (),
    tuned_threshold: Path | None = None,
) -> None:
    """Write a table like `predictions` with other masks; its metadata says under `refinement` which.

    Args:
        predictions: Parquet table of `gather_predictions`.
        output: Parquet table to write.
        settings: what becomes of each mask.
        logits: of all shards of the table; only a threshold other than the model's own needs them.
        tuned_threshold: the file of `tune_threshold`, where the settings say that the threshold is tuned.

    Raises:
        UserError: where logits or the tuned threshold are missing, and for a threshold that was tuned on the very
            split, on another data set or for another model.
    """
    records, made_from = read_records(predictions)
    tuned, threshold = None, settings.threshold
    if tuned_threshold is not None:
        tuned = _tuned_elsewhere(tuned_threshold, made_from)
        threshold = float(tuned["threshold"])
    elif isinstance(threshold, str):
        raise UserError(f"the threshold is tuned for {threshold}; give the file of tune-threshold.")
    if threshold == MODEL_THRESHOLD:
        given = _given_masks(records, predictions)
    else:
        given = _thresholded_masks(records, logits, threshold)
    refined = {
        sent_id: [
            encode(
                fill_small_holes(
                    drop_small_components(mask, settings.smallest_component), settings.smallest_hole
                )
            )
            for mask in masks
        ]
        for sent_id, masks in given
    }
    refinement = {
        "threshold": threshold,
        "tuned": tuned,
        "smallest_component": settings.smallest_component,
        "smallest_hole": settings.smallest_hole,
        "predictions": file_record(predictions),
        "logits": [file_record(path) for path in logits],
        "versions": versions(),
    }
    write_predictions(
        output,
        [_with_masks(each, refined[each.sent_id]) for each in records],
        {**made_from, "refinement": refinement},
    )


def _with_masks(record: Prediction, masks: list[RLE]) -> Prediction:
    height, width = record.mask["size"]
    return replace(record, masks=masks, mask=union(masks) if masks else empty(height, width))


def _given_masks(
    records: Sequence[Prediction], path: Path
) -> Iterator[tuple[int, list[np.ndarray] | np.ndarray]]:
    """sent_id and masks, bool (height, width), of every record."""
    for each in records:
        if not all(map(is_rle, each.masks)):
            raise UserError(f"{path}: a mask of sent_id {each.sent_id} is not an RLE; gather it again.")
        yield each.sent_id, [decode(mask).astype(bool) for mask in each.masks]


def _thresholded_masks(
    records: Sequence[Prediction], logits: Sequence[Path], threshold: float
) -> Iterator[tuple[int, list[np.ndarray] | np.ndarray]]:
    """The same from the logits of those that have masks."""
    missing = {each.sent_id: each for each in records}
    for sent_id, array in (each for path in logits for each in read_logits(path)):
        if record := missing.pop(sent_id, None):
            height, width = record.mask["size"]
            yield sent_id, masks_of_logits(array, height=height, width=width, threshold=threshold)
    for sent_id, record in missing.items():
        if record.num_seg:
            raise UserError(
                f"sent_id {sent_id} has no stored logits, which a threshold of {threshold:g} needs; "
                "set save_logits and segment again."
            )
        yield sent_id, []


def _tuned_elsewhere(path: Path, made_from: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a tuned threshold, once it is sure that it was not tuned on these expressions."""
    tuned = read_json(path)
    run, tuned_run = made_from["run"] or {}, tuned["run"]
    if made_from["dataset"] != tuned["dataset"]:
        raise UserError(f"{path} was tuned for another dataset than the predictions; tune it again.")
    for field in TUNED_FOR:
        if run.get(field) != tuned_run.get(field):
            raise UserError(f"{path} was tuned for another {field} than the predictions; tune it again.")
    if run.get("split") == tuned_run["split"]:
        raise UserError(f"{path} was tuned on the split {run['split']} itself; evaluate another split.")
    kept = ("threshold", "score", "mean", "mean_at_half", "n_expressions", "n_patients")
    return {**{key: tuned[key] for key in kept}, "split": tuned_run["split"], "file": file_record(path)}
