"""`refvessel status` shows every shard of a run at once."""

import signal
import subprocess
import sys
import time
from dataclasses import asdict

import pytest

from refvessel.errors import UserError
from refvessel.files import write_json
from refvessel.jobs.progress import Progress
from refvessel.jobs.status import status, under_way


def progress(state, done, total, *, rate=None, left=None, failures=0):
    return Progress(
        state=state,
        images_done=done,
        images_total=total,
        failures=failures,
        warm_up_seconds=None,
        images_per_second=rate,
        seconds_left=left,
        device="cpu",
        memory=20_500_000_000,
        updated=1_700_000_000.0,
    )


@pytest.fixture
def results(tmp_path):
    shards = {
        "a/1-of-3": progress("running", 40, 100, rate=12.5, left=4.8),
        "a/2-of-3": progress("running", 20, 100, rate=10.0, left=240.0, failures=2),
        "a/3-of-3": progress("finished", 100, 100, rate=11.0, left=0.0),
    }
    for name, each in shards.items():
        write_json(tmp_path / f"{name}.progress.json", asdict(each))
    return tmp_path


def test_all_shards_are_in_one_table_and_added_up(results, monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    assert status(results).splitlines() == [
        "shard     state      images  failed  images/s   left    memory              updated  device",
        "a/1-of-3  running    40/100       0     12.50    5 s  20.50 GB  2023-11-14 22:13:20  cpu",
        "a/2-of-3  running    20/100       2     10.00  4 min  20.50 GB  2023-11-14 22:13:20  cpu",
        "a/3-of-3  finished  100/100       0     11.00    0 s  20.50 GB  2023-11-14 22:13:20  cpu",
        "3 shards, 2 under way: 160 of 300 images, 22.50 images/s, 4 min left, 2 failed",
    ]


def test_a_run_without_shards_and_a_missing_folder_are_told_apart(tmp_path):
    assert status(tmp_path) == f"{tmp_path}: no shard was begun."
    with pytest.raises(UserError, match="nowhere is not a folder"):
        status(tmp_path / "nowhere")


def test_watching_into_a_file_writes_a_table_each_time_something_changed(results):
    output = results / "watched.txt"
    command = [sys.executable, "-m", "refvessel.cli", "status", str(results), "--watch"]
    with (
        output.open("wb") as stream,
        # A shell ignores interrupts for what it runs in the background, tests among it.
        subprocess.Popen(
            command,
            stdout=stream,
            stderr=stream,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        ) as job,
    ):
        wait_for(output, b"2 under way")
        write_json(results / "a/1-of-3.progress.json", asdict(progress("finished", 100, 100)))
        wait_for(output, b"1 under way")
        job.send_signal(signal.SIGINT)
    told = output.read_bytes()
    assert told.count(b"under way") == 2
    assert b"\r" not in told
    assert b"\x1b" not in told.split(b"1 under way")[0]


JOB = """
import sys, time
from pathlib import Path
from refvessel.jobs.progress import RUNNING, reported
with reported(Path("b/1-of-1.jsonl"), done=3, total=9) as reporter:
    reporter.enter(RUNNING, "cpu")
    print("begun", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def job(results):
    """A job that has done 3 of 9 images."""
    with subprocess.Popen(
        [sys.executable, "-c", JOB], cwd=results, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=-3
    ) as job:
        assert job.stdout.readline() == b"begun\n"
        yield job
        job.kill()


def state_of_the_job(results):
    (line,) = (line for line in status(results).splitlines() if line.startswith("b/1-of-1"))
    return line.split()[1:3]


def test_a_job_that_was_killed_is_not_called_running(results, job):
    assert state_of_the_job(results) == ["running", "3/9"]
    assert "3 shards under way: 63 of 209 images" in under_way(results)
    job.kill()
    job.wait()
    assert state_of_the_job(results) == ["killed", "3/9"]
    assert "2 shards under way" in under_way(results)
    assert "4 shards, 2 under way" in status(results)


def test_a_job_that_ended_by_itself_keeps_its_last_word(results, job):
    job.communicate(timeout=60)
    assert state_of_the_job(results) == ["finished", "3/9"]


def test_a_job_of_another_machine_is_not_judged(results, job, monkeypatch):
    job.kill()
    job.wait()
    monkeypatch.setattr("refvessel.jobs.progress.THIS_MACHINE", "elsewhere")
    assert state_of_the_job(results) == ["running", "3/9"]


def test_where_no_shard_is_under_way_nothing_is_told_of_it(tmp_path):
    assert under_way(tmp_path) is None


def wait_for(path, words):
    deadline = time.monotonic() + 60
    while words not in path.read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.05)
