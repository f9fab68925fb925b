"""All shards of a split into one table, every expression exactly once."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from refvessel.dataset.tree import Expression, read_expressions
from refvessel.errors import UserError
from refvessel.files import atomic_file
from refvessel.inference.identity import dataset_identity
from refvessel.inference.records import Prediction, read_shard
from refvessel.inference.shard import read_run
from refvessel.provenance import file_record

_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("ref_id", pa.int64()),
        ("sent_id", pa.int64()),
        ("phrase", pa.string()),
        ("prompt", pa.string()),
        ("answer", pa.string()),
        ("num_seg", pa.int64()),
        ("status", pa.string()),
        ("error", pa.string()),
        ("mask", pa.string()),  # JSON of an RLE
        ("masks", pa.string()),  # JSON of a list of RLEs
        ("score", pa.float64()),
        ("seconds", pa.float64()),
        ("drafted", pa.bool_()),
    ]
)
_MOST_NAMED = 5
# What may differ between the shards of one split.
_OF_ONE_SHARD = ("shard",)


def gather_predictions(*, shards: Sequence[Path], dataset: Path, split: str, output: Path) -> None:
    """Write the predictions of a split as one Parquet table, sorted by sent_id.

    `mask` and `masks` are JSON text. The table's metadata under the key `refvessel` says which model, data set
    and settings made it, how many answers were as expected, and carries the SHA-256 of every shard.

    Raises:
        UserError: where an expression is missing or there twice, a prediction is of another expression or image
            size, or the shards are of different runs.
    """
    expressions = read_expressions(dataset, split)
    predictions = [prediction for shard in shards for prediction in read_shard(_existing(shard))]
    _require_each_once(expressions, predictions, split)
    _require_same_expressions(expressions, predictions)
    provenance = _provenance(shards, dataset)
    provenance["answers_as_expected"] = sum(each.drafted for each in predictions)
    rows = [_row(each) for each in sorted(predictions, key=lambda each: each.sent_id)]
    table = pa.Table.from_pylist(
        rows, _SCHEMA.with_metadata({"refvessel": json.dumps(provenance, sort_keys=True)})
    )
    with atomic_file(output) as temporary:
        parquet.write_table(table, temporary)


def _existing(shard: Path) -> Path:
    if not Path(shard).is_file():
        raise UserError(f"the shard {shard} does not exist; run refvessel segment for it first.")
    return shard


def _require_each_once(expressions: list[Expression], predictions: list[Prediction], split: str) -> None:
    wanted = {each.sent_id for each in expressions}
    found = Counter(each.sent_id for each in predictions)
    for problem, sent_ids in (
        ("have no prediction; segment the missing shard", wanted - found.keys()),
        (
            "have several predictions; give each shard once",
            {each for each, count in found.items() if count > 1},
        ),
        ("are not of this split; give the shards of one split", found.keys() - wanted),
    ):
        if sent_ids:
            named = ", ".join(map(str, sorted(sent_ids)[:_MOST_NAMED]))
            raise UserError(f"split {split}: {len(sent_ids)} expressions (sent_id {named}) {problem}.")


def _require_same_expressions(expressions: list[Expression], predictions: list[Prediction]) -> None:
    by_sent_id = {each.sent_id: each for each in expressions}
    for prediction in predictions:
        expression = by_sent_id[prediction.sent_id]
        for field, found, wanted in (
            ("image_id", prediction.image_id, expression.image_id),
            ("ref_id", prediction.ref_id, expression.ref_id),
            ("phrase", prediction.phrase, expression.phrase),
            ("mask size", prediction.mask["size"], [expression.height, expression.width]),
        ):
            if found != wanted:
                raise UserError(
                    f"sent_id {prediction.sent_id}: the prediction's {field} is {found!r}, the tree's {wanted!r}; "
                    "segment this data set again."
                )


def _provenance(shards: Sequence[Path], dataset: Path) -> dict:
    runs = [run for run in map(read_run, shards) if run is not None]
    settings = [{key: run[key] for key in run if key not in _OF_ONE_SHARD} for run in runs]
    for shard, other in zip(shards, settings, strict=False):
        if differing := sorted(key for key in other if other[key] != settings[0].get(key)):
            raise UserError(
                f"{shard} differs from {shards[0]} in {', '.join(differing)}; give shards of one run."
            )
    identity = dataset_identity(dataset)
    if settings and settings[0]["dataset"] != identity:
        raise UserError(
            f"the shards were segmented from other data than {dataset}; segment this data set again."
        )
    return {
        "run": settings[0] if settings else None,
        "dataset": identity,
        "shards": [file_record(shard) for shard in shards],
    }


def _row(prediction: Prediction) -> dict:
    row = asdict(prediction)
    return row | {"mask": json.dumps(row["mask"]), "masks": json.dumps(row["masks"])}
