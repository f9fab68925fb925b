"""Scoring predictions against the truth: `cases.parquet` and `summary.json`.

Every table and figure derives from `cases.parquet`, one row an expression; its columns are CASES_SCHEMA.
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from refvessel.files import atomic_file, write_json
from refvessel.metrics.overlap import overlap_scores, pixel_counts
from refvessel.metrics.pairing import pair_expressions
from refvessel.metrics.policy import EmptyPolicy, resolve_policy
from refvessel.metrics.summary import nnunet_summary, summarise, summarise_by
from refvessel.provenance import file_record, versions

CASES_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("ref_id", pa.int64()),
        ("sent_id", pa.int64()),
        ("phrase", pa.string()),
        ("patient", pa.string()),
        ("status", pa.string()),  # ok | no_seg | failed
        ("error", pa.string()),  # of a failed expression, else null
        ("height", pa.int64()),  # of the image, pixels
        ("width", pa.int64()),
        ("tp", pa.int64()),  # pixels
        ("fp", pa.int64()),
        ("fn", pa.int64()),
        ("tn", pa.int64()),
        ("truth_pixels", pa.int64()),  # foreground sizes
        ("predicted_pixels", pa.int64()),
        ("dice", pa.float64()),  # 0 to 1; null where undefined
        ("iou", pa.float64()),
        ("precision", pa.float64()),
        ("recall", pa.float64()),
        ("specificity", pa.float64()),
        ("truth_mask", pa.string()),  # COCO RLE as JSON
        ("predicted_mask", pa.string()),
    ]
)


def score(
    *,
    predictions: pd.DataFrame,
    truth: pd.DataFrame,
    output: Path,
    policy: EmptyPolicy | None = None,
    provenance: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Score every expression of `truth`; write `output`/cases.parquet and summary.json, return the summary.

    `predictions` is a table as `read_predictions` gives. `truth` has the columns image_id, ref_id, sent_id,
    phrase, patient, height, width and mask (RLE), one row an expression. `policy` changes cells of the
    empty-case policy. `provenance` says what the tables were made from, and both files carry it; the report
    needs in it `predictions` (from `read_predictions`) and `dataset` (the `file_record` of the tree's
    dataset.json, or of its instances.json where it has no dataset.json).

    Expressions without [SEG] and failed ones count as empty masks and stay in every mean.
    Raises UserError, before anything is written, unless the predictions are exactly those of the truth's
    expressions, once each, on images of the same size.
    """
    policy = resolve_policy(policy)
    cases = score_cases(predictions, truth, policy)
    table = pa.Table.from_pandas(cases, schema=CASES_SCHEMA, preserve_index=False)
    provenance = {"versions": versions(), **(provenance or {})}
    metadata = json.dumps(provenance, sort_keys=True, ensure_ascii=False, allow_nan=False)
    output = Path(output)
    with atomic_file(output / "cases.parquet") as temporary:
        pq.write_table(table.replace_schema_metadata({"refvessel": metadata}), temporary)
    summary = {
        **summarise(cases, policy),
        "by_phrase": summarise_by(cases, "phrase", policy),
        "by_patient": summarise_by(cases, "patient", policy),
        **nnunet_summary(cases),
        "empty_policy": policy,
        "provenance": {**provenance, "cases": file_record(output / "cases.parquet")},
    }
    write_json(output / "summary.json", summary)
    return summary


def score_cases(predictions: pd.DataFrame, truth: pd.DataFrame, policy: EmptyPolicy) -> pd.DataFrame:
    """The table of cases, with the columns of CASES_SCHEMA, by sent_id; raises UserError as `score` does."""
    paired = pair_expressions(predictions, truth)
    counts = pixel_counts(paired["mask_predicted"], paired["mask"])
    sizes = {"truth_pixels": counts["tp"] + counts["fn"], "predicted_pixels": counts["tp"] + counts["fp"]}
    texts = {
        "truth_mask": paired["mask"].map(_as_json),
        "predicted_mask": paired["mask_predicted"].map(_as_json),
    }
    cases = pd.concat([paired, counts, overlap_scores(counts, policy)], axis="columns").assign(
        **sizes, **texts
    )
    return cases[CASES_SCHEMA.names]


def _as_json(rle: dict) -> str:
    return json.dumps(rle, separators=(",", ":"))
