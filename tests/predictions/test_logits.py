"""Logits lie beside their shard, whole for every line that has masks, however a job ended."""

import zipfile
from dataclasses import replace

import numpy as np
import pytest

from refvessel.answer_status import Status
from refvessel.errors import UserError
from refvessel.predictions.asked import Asked
from refvessel.predictions.logits_file import logits_file, read_logits
from refvessel.predictions.prediction import Prediction, read_shard
from refvessel.predictions.shard import open_shard
from refvessel.predictions.upsampling import masks_of_logits
from refvessel.rle import decode, empty, encode

SIDE = 8


@pytest.fixture
def run(run):
    return replace(run, save_logits=True)


def predicted(sent_id, num_seg=1):
    masks = [encode(np.ones((4, 4))) for _ in range(num_seg)]
    record = Prediction(
        image_id="a",
        ref_id=0,
        sent_id=sent_id,
        phrase="vessel",
        prompt="p",
        answer="a",
        num_seg=num_seg,
        status=Status.OK,
        error=None,
        mask=masks[0] if masks else empty(4, 4),
        masks=masks,
        score=0.5 if masks else None,
        seconds=0.1,
        drafted=True,
        identity=f"asked {sent_id}",
    )
    return record, np.random.default_rng(sent_id).normal(size=(num_seg, SIDE, SIDE)).astype(np.float16)


def stored(shard):
    return dict(read_logits(logits_file(shard)))


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for sent_id, array in expected.items():
        assert found[sent_id].dtype == np.float16
        np.testing.assert_array_equal(found[sent_id], array)


EXPECTED = {sent_id: predicted(sent_id, num_seg)[1] for sent_id, num_seg in ((3, 1), (1, 2), (7, 1))}


def write(shard, run, *batches):
    with opened(shard, run) as writer:
        for batch in batches:
            writer.append([each for each in batch if each[0].sent_id not in writer.finished])
        writer.finish()


BATCHES = ([predicted(3), predicted(1, 2)], [predicted(5, 0)], [predicted(7)])
ASKED = [
    Asked("a", 0, each.sent_id, "vessel", f"asked {each.sent_id}") for batch in BATCHES for each, _ in batch
]


def opened(shard, run, answers=None):
    return open_shard(shard, run, ASKED, answers)


def test_a_finished_shard_has_one_file_with_the_logits_of_every_mask(tmp_path, run):
    shard = tmp_path / "shard.jsonl"
    write(shard, run, *BATCHES)
    assert_equal(stored(shard), EXPECTED)
    assert {path.name for path in tmp_path.iterdir() if path.suffix != ".lock"} == {
        "shard.jsonl",
        "shard.run.json",
        "shard.logits.npz",
    }


def test_a_shard_is_resumed_whatever_was_written_last(tmp_path, run):
    shard = tmp_path / "shard.jsonl"
    with opened(shard, run) as writer:
        for batch in BATCHES:
            writer.append(batch)
    lines = shard.read_bytes().splitlines(keepends=True)
    for kept in range(len(lines) + 1):  # the logits of the rest are there already
        shard.write_bytes(b"".join(lines[:kept]) + b'{"half')
        write(shard, run, *BATCHES)
        assert_equal(stored(shard), EXPECTED)
        assert shard.read_bytes() == b"".join(lines)


def test_a_line_whose_logits_are_lost_is_not_finished(tmp_path, run):
    shard = tmp_path / "shard.jsonl"
    write(shard, run, *BATCHES)
    logits_file(shard).unlink()
    with opened(shard, run) as writer:
        assert writer.finished == {5}


def test_expressions_that_are_tried_again_join_the_finished_file(tmp_path, run):
    shard = tmp_path / "shard.jsonl"
    record, logits = predicted(3)
    failed = (replace(record, status=Status.FAILED, error="e", masks=[], num_seg=0), logits)
    write(shard, run, [failed, predicted(1, 2)], [predicted(7)])
    assert stored(shard).keys() == {1, 7}
    write(shard, run, *BATCHES)
    assert_equal(stored(shard), EXPECTED)


def test_a_finished_file_is_left_alone(tmp_path, run):
    shard = tmp_path / "shard.jsonl"
    write(shard, run, *BATCHES)
    before = logits_file(shard).stat()
    write(shard, run, *BATCHES)
    assert logits_file(shard).stat().st_mtime_ns == before.st_mtime_ns


def test_the_file_is_compressed_and_does_not_know_when_it_was_made(tmp_path, run):
    write(tmp_path / "shard.jsonl", run, *BATCHES)
    with zipfile.ZipFile(tmp_path / "shard.logits.npz") as archive:
        for entry in archive.infolist():
            assert entry.compress_type == zipfile.ZIP_DEFLATED
            assert entry.date_time == (1980, 1, 1, 0, 0, 0)


def test_a_damaged_or_missing_file_is_named(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 and no more")
    for name, sentence in (("a", "is not a file of logits"), ("b", "does not exist; set save_logits")):
        with pytest.raises(UserError, match=rf"{name}\.npz {sentence}"):
            list(read_logits(tmp_path / f"{name}.npz"))


def test_the_demo_models_stored_logits_are_those_of_its_masks(segmented):
    records, logits = read_shard(segmented), stored(segmented)
    assert logits.keys() == {each.sent_id for each in records if each.num_seg}
    for record in records:
        height, width = record.mask["size"]
        masks = masks_of_logits(logits[record.sent_id], height=height, width=width, threshold=0.5)
        differing = masks != np.stack([decode(mask) for mask in record.masks])
        assert differing.mean() < 1e-3  # logits that half precision rounds to another side
