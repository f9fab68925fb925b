"""What jobs ask a scheduler for: enough for what was measured, more for more, and more each time."""

import re
from pathlib import Path

import pytest

from refvessel.jobs.needs import NEEDS, memory_mb, runtime_minutes, size_mb

ROOT = Path(__file__).resolve().parents[2]
RULES = [path.read_text("utf-8") for path in sorted((ROOT / "workflow").rglob("*.smk"))]


def file_of(path, megabytes):
    """A file of that size that takes no room."""
    with path.open("wb") as stream:
        stream.truncate(int(megabytes * 1e6))
    return path


def test_a_folder_is_as_large_as_what_is_seen_in_it(tmp_path):
    for name, megabytes in (("a/b/one", 2), ("a/two", 3), ("a/.hidden", 50), ("three", 7)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        file_of(tmp_path / name, megabytes)
    (tmp_path / "a/nothing").symlink_to("nowhere")
    assert size_mb([tmp_path / "a", tmp_path / "three"]) == 12


def test_what_is_still_to_be_made_has_no_size(tmp_path):
    with pytest.raises(FileNotFoundError):
        memory_mb("score_cases", [tmp_path / "cases"], 1)


# Rule, megabytes of input, peak memory (MB) and seconds: benchmarks/RESULTS.md and the demo's benchmark files.
@pytest.mark.parametrize(
    ("rule", "read", "megabytes", "seconds"),
    [
        ("convert_checkpoint", 19_380, 540, 57),
        ("convert_dataset", 2_000, 213, 48),
        ("gather_predictions", 30, 400, 8),
        ("score_cases", 3.7, 380, 15),
        ("segment", 9, 1_051, 30),
    ],
)
def test_a_job_asks_for_twice_what_was_measured_at_least(tmp_path, rule, read, megabytes, seconds):
    given = [file_of(tmp_path / "input", read)]
    assert memory_mb(rule, given, 1) >= 2 * megabytes
    assert runtime_minutes(rule, given, 1) >= 4 * seconds / 60


@pytest.mark.parametrize("rule", NEEDS)
def test_each_attempt_gets_as_much_again(rule):
    memory, minutes = (
        [each(rule, [], attempt) for attempt in (1, 2, 3)] for each in (memory_mb, runtime_minutes)
    )
    assert memory[1] - memory[0] == memory[2] - memory[1] == NEEDS[rule].megabytes
    assert minutes[1] - minutes[0] == minutes[2] - minutes[1] == NEEDS[rule].minutes


def test_more_answers_take_more_time():
    few, many = (runtime_minutes("segment", [], 1, answers=answers) for answers in (100, 10_000))
    assert many - few > 10_000 * 0.24 / 60  # by the plain loop on an H200


def test_every_rule_says_what_it_needs():
    rules = re.findall(r"^(?:rule|checkpoint) (\w+):$", "\n".join(RULES), re.MULTILINE)
    stated = re.findall(r"\*\*needs\(\s*\"(\w+)\"", "\n".join(RULES))
    of_models = {"segment_sequences"}
    assert sorted(stated) == sorted(NEEDS)
    assert {*rules} - of_models == {*stated} - {"segment"}
