"""Gathered predictions at another threshold and after post-processing: a table of its own."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from refvessel.errors import UserError
from refvessel.files import atomic_file, read_json
from refvessel.inference.logits import masks_of_logits
from refvessel.predictions.logits_file import read_logits
from refvessel.predictions.postprocessing import drop_small_components, fill_small_holes
from refvessel.provenance import file_record, versions
from refvessel.rle import decode, empty, encode, is_rle, union
from refvessel.settings.refinement_section import MODEL_THRESHOLD, Refinement

_METADATA = b"refvessel"
Row = Mapping[str, Any]


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
    table = _read_table(predictions)
    made_from = json.loads(table.schema.metadata[_METADATA])
    tuned, threshold = None, settings.threshold
    if tuned_threshold is not None:
        tuned = _tuned_elsewhere(tuned_threshold, made_from)
        threshold = float(tuned["threshold"])
    elif isinstance(threshold, str):
        raise UserError(f"the threshold is tuned for {threshold}; give the file of tune-threshold.")
    rows = table.to_pylist()
    if threshold == MODEL_THRESHOLD:
        given = _given_masks(rows, predictions)
    else:
        given = _thresholded_masks(rows, logits, threshold)
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
    for row in rows:
        masks, (height, width) = refined[row["sent_id"]], _image_size(row)
        row["masks"] = json.dumps(masks)
        row["mask"] = json.dumps(union(masks) if masks else empty(height, width))
    refinement = {
        "threshold": threshold,
        "tuned": tuned,
        "smallest_component": settings.smallest_component,
        "smallest_hole": settings.smallest_hole,
        "predictions": file_record(predictions),
        "logits": [file_record(path) for path in logits],
        "versions": versions(),
    }
    metadata = {"refvessel": json.dumps({**made_from, "refinement": refinement}, sort_keys=True)}
    with atomic_file(output) as temporary:
        parquet.write_table(pa.Table.from_pylist(rows, table.schema.with_metadata(metadata)), temporary)


def _read_table(path: Path) -> pa.Table:
    try:
        table = parquet.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path} is not a readable Parquet file ({error}); gather the predictions.") from None
    if _METADATA not in (table.schema.metadata or {}):
        raise UserError(f"{path} does not say what it was made from; gather the predictions again.")
    return table


def _image_size(row: Row) -> tuple[int, int]:
    height, width = json.loads(row["mask"])["size"]
    return height, width


def _given_masks(rows: Iterable[Row], path: Path) -> Iterator[tuple[int, Sequence[np.ndarray]]]:
    """sent_id and masks of every row."""
    for row in rows:
        rles = json.loads(row["masks"])
        if not all(map(is_rle, rles)):
            raise UserError(f"{path}: a mask of sent_id {row['sent_id']} is not an RLE; gather it again.")
        yield row["sent_id"], [decode(rle).astype(bool) for rle in rles]


def _thresholded_masks(
    rows: Iterable[Row], logits: Sequence[Path], threshold: float
) -> Iterator[tuple[int, Sequence[np.ndarray]]]:
    """sent_id and masks of every row, from the logits of those that have masks."""
    missing = {row["sent_id"]: row for row in rows}
    for sent_id, array in (each for path in logits for each in read_logits(path)):
        if row := missing.pop(sent_id, None):
            height, width = _image_size(row)
            yield sent_id, masks_of_logits(array, height=height, width=width, threshold=threshold)
    for sent_id, row in missing.items():
        if row["num_seg"]:
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
    for field in ("model", "question", "flips"):
        if run.get(field) != tuned_run.get(field):
            raise UserError(f"{path} was tuned for another {field} than the predictions; tune it again.")
    if run.get("split") == tuned_run["split"]:
        raise UserError(f"{path} was tuned on the split {run['split']} itself; evaluate another split.")
    kept = ("threshold", "score", "mean", "mean_at_half", "n_expressions", "n_patients")
    return {**{key: tuned[key] for key in kept}, "split": tuned_run["split"], "file": file_record(path)}
