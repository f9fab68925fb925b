import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stages import score

from refvessel.errors import UserError
from refvessel.files import sha256_of_file
from refvessel.predictions.table import read_predictions

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
