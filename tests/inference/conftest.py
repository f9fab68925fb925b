"""The demo model, and a small tree of demo frames to run it on."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from refvessel.dataset.tree.expressions import Expression
from refvessel.rle import empty


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


@pytest.fixture
def segment_job(tree, demo_model) -> Iterator[Callable[..., subprocess.Popen]]:
    """A function that starts `refvessel segment` as a job, and returns once that has written lines."""
    jobs = []

    def start(output: Path, lines: int = 1, *options: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "refvessel.cli", "segment", "--batch-size", "1", "--split", "test"]
        command += ["--model", str(demo_model), "--dataset", str(tree), "--output", str(output), *options]
        jobs.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        while jobs[-1].poll() is None and (not output.exists() or output.read_bytes().count(b"\n") < lines):
            time.sleep(0.02)
        return jobs[-1]

    yield start
    for job in jobs:
        job.kill()
        job.communicate()
