"""A split is gathered whole or not at all."""

import json
import math

import pytest
from pyarrow import parquet

from refvessel.errors import UserError
from refvessel.files import sha256_of_file
from refvessel.predictions import gather as gathering
from refvessel.predictions.gather import gather_predictions
from refvessel.predictions.prediction import COLUMNS
from refvessel.rle import empty


@pytest.fixture
def shard(segmented, tmp_path):
    """A copy of the whole split's shard, with its run, that a test may damage."""
    copy = tmp_path / "shard.jsonl"
    copy.write_bytes(segmented.read_bytes())
    copy.with_suffix(".run.json").write_bytes(segmented.with_suffix(".run.json").read_bytes())
    return copy


def gather(tree, output, *shards):
    gather_predictions(shards=shards, dataset=tree, split="test", output=output)


def test_the_table_has_every_record_sorted_by_sent_id(shard, tree, tmp_path):
    gather(tree, tmp_path / "all.parquet", shard)
    table = parquet.read_table(tmp_path / "all.parquet")
    records = sorted(map(json.loads, shard.read_text().splitlines()), key=lambda each: each["sent_id"])
    assert tuple(table.column_names) == COLUMNS
    for row, record in zip(table.to_pylist(), records, strict=True):
        expected = record | {"mask": json.dumps(record["mask"]), "masks": json.dumps(record["masks"])}
        assert row == expected


def test_the_table_says_what_it_was_made_from(shard, tree, tmp_path):
    gather(tree, tmp_path / "all.parquet", shard)
    metadata = json.loads(parquet.read_schema(tmp_path / "all.parquet").metadata[b"refvessel"])
    run = json.loads(shard.with_suffix(".run.json").read_text())
    assert metadata["run"]["model"] == run["model"]
    assert metadata["shards"][0]["sha256"] == sha256_of_file(shard)
    assert metadata["answers_as_expected"] == shard.read_text().count('"drafted": true') > 0


def test_a_split_of_many_row_groups_reads_as_one_of_a_single_one(shard, tree, tmp_path, monkeypatch):
    gather(tree, tmp_path / "one.parquet", shard)
    lines = shard.read_text().splitlines(keepends=True)
    other = tmp_path / "other.jsonl"  # two shards, neither in the order of sent_ids
    other.write_text("".join(lines[1::2][::-1]))
    shard.write_text("".join(lines[::2][::-1]))
    other.with_suffix(".run.json").write_bytes(shard.with_suffix(".run.json").read_bytes())
    monkeypatch.setattr(gathering, "PER_GROUP", 2)
    gather(tree, tmp_path / "many.parquet", shard, other)
    one, many = (parquet.ParquetFile(tmp_path / f"{name}.parquet") for name in ("one", "many"))
    assert (one.num_row_groups, many.num_row_groups) == (1, math.ceil(len(lines) / 2))
    assert many.read().equals(one.read())


def edit(shard, change):
    records = [json.loads(line) for line in shard.read_text().splitlines()]
    change(records)
    shard.write_text("".join(json.dumps(each) + "\n" for each in records))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda records: records.pop(), "1 expressions .* have no prediction"),
        (lambda records: records.append(records[0]), "1 expressions .* have several predictions"),
        (lambda records: records.append(records[0] | {"sent_id": 999}), "are not of this split"),
        (lambda records: records[0].update(phrase="catheters"), "phrase is 'catheters'"),
        (lambda records: records[0].update(image_id="other"), "image_id is 'other'"),
        (lambda records: records[0].update(mask=empty(1, 2)), "mask size"),
        (lambda records: records[0]["mask"].update(size=[1, 2]), "a mask is not an RLE"),
        (lambda records: records[0].pop("answer"), "line 1 is not a prediction record"),
    ],
)
def test_a_split_that_is_not_whole_is_refused(shard, tree, tmp_path, change, sentence):
    edit(shard, change)
    with pytest.raises(UserError, match=sentence):
        gather(tree, tmp_path / "all.parquet", shard)
    assert not (tmp_path / "all.parquet").exists()


def test_shards_of_different_models_are_not_mixed(shard, tree, tmp_path):
    lines = shard.read_text().splitlines(keepends=True)
    other = tmp_path / "other.jsonl"
    other.write_text("".join(lines[2:]))
    shard.write_text("".join(lines[:2]))
    run = json.loads(shard.with_suffix(".run.json").read_text())
    other.with_suffix(".run.json").write_text(json.dumps(run | {"model": "0" * 64}))
    with pytest.raises(UserError, match=r"differs from .* in model"):
        gather(tree, tmp_path / "all.parquet", shard, other)


def test_a_missing_shard_is_named(tree, tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.jsonl does not exist"):
        gather(tree, tmp_path / "all.parquet", tmp_path / "nowhere.jsonl")
