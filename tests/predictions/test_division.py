"""A split that is segmented stays divided as it is."""

import json

import pytest

from refvessel.predictions.division import answers_of_split, number_of_shards, shards_that_pay


@pytest.mark.parametrize(
    ("names", "wanted", "number"),
    [
        ((), 3, 3),
        (("1-of-2.jsonl", "2-of-2.jsonl"), 3, 2),
        (("1-of-2.jsonl",), 3, 3),
        (("1-of-2.jsonl", "2-of-2.run.json"), 3, 3),
        (("1-of-2.jsonl", "2-of-2.jsonl", "1-of-1.jsonl"), 1, 1),
        (("1-of-2.jsonl", "2-of-2.jsonl", "1-of-1.jsonl"), 5, 2),
        (("notes.jsonl", "0-of-1.jsonl"), 4, 4),
    ],
)
def test_the_number_of_a_whole_division_is_kept(tmp_path, names, wanted, number):
    for name in names:
        (tmp_path / name).touch()
    assert number_of_shards(tmp_path, wanted) == number


def test_a_folder_that_is_not_there_yet_has_none(tmp_path):
    assert number_of_shards(tmp_path / "shards", 2) == 2


@pytest.mark.parametrize(
    ("counts", "workers", "queued", "number"),
    [
        ({"images": 100_000, "expressions": 200_000}, 8, False, 8),  # one for each GPU
        ({"images": 32, "expressions": 64}, 8, False, 2),  # too small for more
        ({"images": 5, "expressions": 10}, 8, False, 1),
        ({"images": 100_000, "expressions": 200_000}, 64, True, 64),
        ({"images": 32_000, "expressions": 32_000}, 64, True, 32),  # a job in a queue costs minutes
        ({"images": 999, "expressions": 9_000}, 64, True, 1),
        ({"runs": 3, "frames": 3_000, "expressions": 6}, 8, False, 3),  # a run is not divided
        ({"runs": 40, "frames": 40, "expressions": 40}, 8, False, 3),
        ({"images": 0, "expressions": 0}, 2, False, 1),
    ],
)
def test_a_split_is_divided_among_all_workers_as_far_as_a_shard_is_worth_its_start(
    tmp_path, counts, workers, queued, number
):
    (tmp_path / "test.json").write_text(json.dumps(counts))
    assert shards_that_pay(tmp_path / "test.json", workers, queued=queued) == number


def test_a_run_is_asked_about_in_each_of_its_frames(tmp_path):
    listed = tmp_path / "test.json"
    listed.write_text(json.dumps({"runs": 2, "frames": 20, "expressions": 6}))  # three of ten frames each
    assert answers_of_split(listed) == 60
    listed.write_text(json.dumps({"images": 20, "expressions": 30}))
    assert answers_of_split(listed) == 30
