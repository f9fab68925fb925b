"""A job's progress is told in lines and in a file that others may read at any time."""

import pytest

from refvessel.errors import UserError
from refvessel.jobs.progress import (
    FAILED,
    FINISHED,
    LOADING,
    RUNNING,
    STOPPED,
    WARMING_UP,
    duration,
    progress_file,
    read_progress,
    reported,
)
from refvessel.jobs.signals import Stopped


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only when told to."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

        def time(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr("refvessel.jobs.progress.time", clock)
    return clock


def test_rate_and_time_left_are_of_this_job_without_the_loading(tmp_path, clock):
    shard = tmp_path / "shard.jsonl"
    with reported(shard, done=10, total=30) as reporter:
        reporter.enter(LOADING, "cpu")
        loading = read_progress(progress_file(shard))
        assert (loading.state, loading.images_done, loading.images_per_second) == ("loading", 10, None)
        clock.now += 50
        reporter.enter(RUNNING)
        clock.now += 4
        reporter.advance(images=2, failures=1, memory=5)
        running = read_progress(progress_file(shard))
    assert (running.images_done, running.images_total, running.failures) == (12, 30, 1)
    assert running.images_per_second == pytest.approx(0.5)
    assert running.seconds_left == pytest.approx(36)
    assert (running.state, running.device, running.memory) == ("running", "cpu", 5)
    assert read_progress(progress_file(shard)).state == FINISHED


def test_the_first_batch_of_a_model_that_warms_up_is_not_in_the_rate(tmp_path, clock):
    shard = tmp_path / "shard.jsonl"
    with reported(shard, done=0, total=30) as reporter:
        reporter.enter(WARMING_UP, "cuda")
        clock.now += 50
        reporter.advance(images=10, failures=0, memory=5)
        warm = read_progress(progress_file(shard))
        assert (warm.state, warm.images_done, warm.images_per_second) == ("running", 10, None)
        clock.now += 5
        reporter.advance(images=10, failures=0, memory=5)
        running = read_progress(progress_file(shard))
    assert running.warm_up_seconds == pytest.approx(50)
    assert running.images_per_second == pytest.approx(2)
    assert (
        str(running) == "running: 20 of 30 images, 0 failed, warmed up in 50 s, 2.00 images/s, 5 s left, cuda"
    )


def test_the_file_is_written_at_most_once_a_second_and_lines_every_ten(tmp_path, clock, capsys):
    shard = tmp_path / "shard.jsonl"
    with reported(shard, done=0, total=100) as reporter:
        reporter.enter(RUNNING, "cpu")
        seen = set()
        for _ in range(100):
            clock.now += 0.25
            reporter.advance(images=1, failures=0, memory=0)
            seen.add(read_progress(progress_file(shard)).images_done)
    assert len(seen) == 26  # 25 seconds and the first moment
    lines = capsys.readouterr().err
    assert lines.splitlines() == [
        "running: 0 of 100 images, 0 failed, cpu",
        "running: 40 of 100 images, 0 failed, 4.00 images/s, 15 s left, cpu",
        "running: 80 of 100 images, 0 failed, 4.00 images/s, 5 s left, cpu",
        "finished: 100 of 100 images, 0 failed, 4.00 images/s, 0 s left, cpu",
    ]
    assert "\r" not in lines


@pytest.mark.parametrize(
    ("error", "state"), [(UserError("x"), FAILED), (KeyError("x"), FAILED), (Stopped(15), STOPPED)]
)
def test_a_job_that_ends_early_says_how(tmp_path, error, state):
    shard = tmp_path / "shard.jsonl"
    with pytest.raises(type(error)):
        end_with(error, shard)
    assert read_progress(progress_file(shard)).state == state


def end_with(error, shard):
    with reported(shard, done=0, total=1) as reporter:
        reporter.enter(RUNNING, "cpu")
        raise error


def test_a_full_disk_does_not_hide_the_error_that_ended_the_job(small_disk):
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "filler").write_bytes(bytes(1 << 20))
    with (
        pytest.raises(ArithmeticError, match="the cause"),
        reported(small_disk / "shard.jsonl", done=0, total=1),
    ):
        raise ArithmeticError("the cause")


def test_a_file_of_another_version_is_named(tmp_path):
    (tmp_path / "a.progress.json").write_text('{"state": "running"}')
    with pytest.raises(UserError, match=r"a\.progress\.json is not of this version"):
        read_progress(tmp_path / "a.progress.json")


def test_time_spans_are_in_readable_units():
    assert [duration(seconds) for seconds in (0.4, 99, 100, 5999, 7200)] == [
        "0 s",
        "99 s",
        "2 min",
        "100 min",
        "2.0 h",
    ]
