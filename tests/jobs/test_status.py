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
from refvessel.jobs.status import status


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


def wait_for(path, words):
    deadline = time.monotonic() + 60
    while words not in path.read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.05)
