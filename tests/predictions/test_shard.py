"""A shard on the disk is whole lines of one run by one writer, however its writers ended."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from refvessel.answer_status import Status
from refvessel.errors import UserError
from refvessel.files import write_json
from refvessel.predictions.asked import Asked
from refvessel.predictions.prediction import Prediction, read_shard
from refvessel.predictions.run_file import run_file
from refvessel.predictions.shard import open_shard
from refvessel.rle import empty, encode


def prediction(sent_id, **changes):
    values = {
        "image_id": "a",
        "ref_id": 0,
        "sent_id": sent_id,
        "phrase": "Gefäß",
        "prompt": "p",
        "answer": "x" * 100,
        "num_seg": 0,
        "status": Status.NO_SEG,
        "error": None,
        "mask": empty(4, 4),
        "masks": [],
        "score": None,
        "seconds": 0.1,
        "drafted": False,
        "identity": f"asked {sent_id}",
    }
    return Prediction(**(values | changes))


ASKED = [Asked("a", 0, sent_id, "Gefäß", f"asked {sent_id}") for sent_id in range(3)]


def opened(path, run, asked=ASKED, answers=None):
    return open_shard(path, run, asked, answers)


def begin(path, run, *predictions):
    with opened(path, run) as writer:
        append(writer, *predictions)


def append(writer, *predictions):
    writer.append([(prediction, np.zeros((0, 2, 2), np.float16)) for prediction in predictions])


def test_a_line_is_the_records_json_however_many_masks_it_has():
    place = np.arange(81).reshape(9, 9, order="F")
    one, other = encode(place >= 44), encode(place % 3 > 0)
    assert "\\" in one["counts"]
    for union, masks in ((one, [one]), (one, [dict(one)]), (one, [other, one]), (other, []), (one, [other])):
        record = prediction(7, mask=union, masks=masks, answer='"é"\n', score=0.1)
        assert record.to_line() == json.dumps(asdict(record), ensure_ascii=False) + "\n"


def test_a_shard_cut_anywhere_keeps_its_whole_lines(tmp_path, run):
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    begin(whole, run, *map(prediction, range(3)))
    content = whole.read_bytes()
    ends = [position for position, byte in enumerate(content) if byte == ord("\n")]
    for length in {0, 1, *(end + offset for end in ends for offset in (-100, 0, 1))}:
        cut.write_bytes(content[:length])
        finished = content[:length].count(b"\n")
        with opened(cut, run) as writer:
            assert writer.finished == set(range(finished))
            append(writer, *map(prediction, range(finished, 3)))
        assert cut.read_bytes() == content


def test_failed_expressions_are_dropped_to_be_tried_again(tmp_path, run):
    shard = tmp_path / "shard.jsonl"
    begin(shard, run, prediction(0), prediction(1, status=Status.FAILED, error="e"), prediction(2))
    with opened(shard, run) as writer:
        assert writer.finished == {0, 2}
    assert [each.sent_id for each in read_shard(shard)] == [0, 2]


def test_a_second_writer_is_refused_and_a_later_one_is_not(tmp_path, run):
    shard = tmp_path / "shard.jsonl"
    with (
        opened(shard, run),
        pytest.raises(UserError, match=r"shard\.jsonl is being written by another job"),
        opened(shard, run),
    ):
        pass
    begin(shard, run, prediction(0))


def test_a_line_that_does_not_fit_on_the_disk_leaves_no_part_of_itself(small_disk, run):
    shard = small_disk / "shard.jsonl"
    begin(shard, run, prediction(0))
    whole = shard.read_bytes()
    (small_disk / "filler").write_bytes(bytes(200_000))
    with opened(shard, run) as writer:
        with pytest.raises(UserError, match=r"shard\.jsonl could not be written \(No space left on device\)"):
            append(writer, prediction(1, answer="x" * 100_000))
        assert shard.read_bytes() == whole
        (small_disk / "filler").unlink()
        append(writer, prediction(1, answer="x" * 100_000))
    assert [each.sent_id for each in read_shard(shard)] == [0, 1]


def test_a_shard_of_a_run_with_other_settings_is_not_continued(tmp_path, run):
    shard = tmp_path / "shard.jsonl"
    begin(shard, run, prediction(0))
    write_json(run_file(shard), asdict(run) | {"split": "val", "question": "!"})
    with (
        pytest.raises(UserError, match=r"begun by a run that differs in question, split"),
        opened(shard, run),
    ):
        pass
