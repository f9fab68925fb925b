"""The demo model, and a small tree of demo frames to run it on."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from known_stages import compute_stages_again, stages_computed_once

from refvessel.dataset.tree.expressions import Expression
from refvessel.rle import empty


@pytest.fixture(scope="session", autouse=True)
def trunk_computed_once() -> Iterator[None]:
    """All shards of a session share what SAM2's trunk makes of an image; jobs of their own do not."""
    with stages_computed_once():
        yield


@pytest.fixture(scope="session")
def expression() -> Callable[..., Expression]:
    """A function that makes an expression of the values given, and others that do not matter."""

    def make(**values) -> Expression:
        of_no_matter = {
            "image_id": Path(values["image_path"]).stem,
            "ref_id": values["sent_id"],
            "phrase": "vessel",
            "patient": "p",
            "height": 8,
            "width": 8,
            "truth": empty(1, 1),
        }
        return Expression(**(of_no_matter | values))

    return make


class ForkedJob:
    """The command line in a fork of this process, which has loaded PyTorch; used like `subprocess.Popen`."""

    def __init__(self, arguments: list[str]) -> None:
        self._stderr, theirs = os.pipe()
        context = multiprocessing.get_context("fork")
        self._process = context.Process(target=_command_line, args=(arguments, theirs))
        self._process.start()
        os.close(theirs)

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self) -> None:
        self._process.join()

    def communicate(self, timeout: float | None = None) -> tuple[None, str]:
        self._process.join(timeout)
        assert self.poll() is not None, "the job did not end in time"
        with os.fdopen(self._stderr, encoding="utf-8") as told:  # less than a pipe holds
            return None, told.read()


def _command_line(arguments: list[str], stderr: int) -> None:
    from refvessel.cli import main

    compute_stages_again()
    os.dup2(stderr, 2)
    sys.stderr, sys.argv = os.fdopen(2, "w", buffering=1), ["refvessel", *arguments]
    main()


@pytest.fixture
def segment_job(tree, demo_model) -> Iterator[Callable[..., ForkedJob | subprocess.Popen]]:
    """A function that starts `refvessel segment` as a job, and returns once that has written lines."""
    jobs = []

    def start(output: Path, lines: int = 1, *options: str, forked: bool = True):
        arguments = ["segment", "--batch-size", "1", "--split", "test"]
        arguments += ["--model", str(demo_model), "--dataset", str(tree), "--output", str(output), *options]
        if forked:
            jobs.append(ForkedJob(arguments))
        else:
            command = [sys.executable, "-m", "refvessel.cli", *arguments]
            jobs.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        while jobs[-1].poll() is None and (not output.exists() or output.read_bytes().count(b"\n") < lines):
            time.sleep(0.02)
        return jobs[-1]

    yield start
    for job in jobs:
        job.kill()
        job.wait()
