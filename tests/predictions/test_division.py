"""A split that is segmented stays divided as it is."""

import pytest

from refvessel.predictions.division import number_of_shards


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
