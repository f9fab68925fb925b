import json
from dataclasses import fields

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stages import score

from refvessel.answer_status import Status
from refvessel.errors import UserError
from refvessel.files import sha256_of_file
from refvessel.predictions.prediction import COLUMNS, Prediction
from refvessel.predictions.table import SCHEMA, read_predictions, read_records, write_predictions
from refvessel.rle import empty

METADATA = {"model": {"sha256": "ab"}, "split": "test"}


def write(predictions: pd.DataFrame, path, metadata: str | None = json.dumps(METADATA)):
    stored = predictions.assign(
        mask=predictions["mask"].map(json.dumps), masks=predictions["masks"].map(json.dumps)
    )
    table = pa.Table.from_pandas(stored, preserve_index=False)
    pq.write_table(table.replace_schema_metadata({"refvessel": metadata} if metadata else None), path)
    return path


def test_what_was_gathered_is_read_back_with_its_origin(tables, vessel_cases, tmp_path):
    predictions, truth = tables(vessel_cases)
    path = write(predictions, tmp_path / "predictions.parquet")
    read, provenance = read_predictions(path)
    assert read["mask"].tolist() == predictions["mask"].tolist()
    assert read["masks"].tolist() == predictions["masks"].tolist()
    assert provenance["made_from"] == METADATA
    assert provenance["sha256"] == sha256_of_file(path)
    from_file = score(predictions=read, truth=truth, output=tmp_path / "a", bootstrap_draws=100)
    from_memory = score(predictions=predictions, truth=truth, output=tmp_path / "b", bootstrap_draws=100)
    assert from_file == from_memory


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.parquet does not exist"):
        read_predictions(tmp_path / "nowhere.parquet")


def test_a_file_that_is_not_parquet_is_named(tmp_path):
    path = tmp_path / "predictions.parquet"
    path.write_text("sent_id,mask\n")
    with pytest.raises(UserError, match="not a readable Parquet file"):
        read_predictions(path)


@pytest.mark.parametrize("column", ["sent_id", "mask", "status"])
def test_a_missing_column_is_named(tables, vessel_cases, tmp_path, column):
    predictions, _ = tables(vessel_cases)
    path = write(predictions, tmp_path / "predictions.parquet")
    pq.write_table(pq.read_table(path).drop_columns(column), path)
    with pytest.raises(UserError, match=f"lacks the column {column}"):
        read_predictions(path)


def test_predictions_of_unknown_origin_are_refused(tables, vessel_cases, tmp_path):
    path = write(tables(vessel_cases)[0], tmp_path / "predictions.parquet", metadata=None)
    with pytest.raises(UserError, match="does not say how it was made"):
        read_predictions(path)


@pytest.mark.parametrize("text", ["{", None])
def test_a_mask_that_is_not_json_is_named(tables, vessel_cases, tmp_path, text):
    path = write(tables(vessel_cases)[0], tmp_path / "predictions.parquet")
    table = pq.read_table(path)
    position = table.column_names.index("mask")
    broken = pa.array([text, *table["mask"].to_pylist()[1:]], pa.string())
    pq.write_table(table.set_column(position, "mask", broken), path)
    with pytest.raises(UserError, match="mask that is not JSON"):
        read_predictions(path)


def record(**changes) -> Prediction:
    values = {
        "image_id": "a",
        "ref_id": 0,
        "sent_id": 7,
        "phrase": "Gefäß",
        "prompt": "p",
        "answer": "[SEG]",
        "num_seg": 1,
        "status": Status.OK,
        "error": None,
        "mask": empty(2, 3),
        "masks": [empty(2, 3)],
        "score": 0.5,
        "seconds": 0.25,
        "drafted": True,
        "identity": "i",
    }
    return Prediction(**(values | changes))


def test_records_come_back_as_they_were_written(tmp_path):
    records = [record(), record(sent_id=8, status=Status.FAILED, error="e", masks=[], num_seg=0, score=None)]
    write_predictions(tmp_path / "p.parquet", records, {"run": None})
    assert read_records(tmp_path / "p.parquet") == (records, {"run": None})


def test_a_column_is_a_field_and_its_type_is_the_fields():
    assert SCHEMA.names == list(COLUMNS) == [field.name for field in fields(Prediction)]
    assert {name: str(SCHEMA.field(name).type) for name in SCHEMA.names} == {
        **dict.fromkeys(
            ["image_id", "phrase", "prompt", "answer", "status", "error", "mask", "masks"], "string"
        ),
        **dict.fromkeys(["ref_id", "sent_id", "num_seg"], "int64"),
        **dict.fromkeys(["score", "lead", "seconds"], "double"),
        "drafted": "bool",
        "identity": "string",
    }


def test_a_table_from_before_a_field_was_there_has_its_default(tmp_path):
    write_predictions(tmp_path / "p.parquet", [record()], {"run": None})
    table = pq.read_table(tmp_path / "p.parquet").drop_columns(["drafted", "identity"])
    pq.write_table(table, tmp_path / "old.parquet")
    (old,), _ = read_records(tmp_path / "old.parquet")
    assert old == record(drafted=False, identity="")


def test_a_status_that_is_none_is_named(tmp_path):
    write_predictions(tmp_path / "p.parquet", [record(status="finished")], {"run": None})
    with pytest.raises(
        UserError, match=r"p\.parquet has a status that no prediction has \('finished' is not"
    ):
        read_records(tmp_path / "p.parquet")
