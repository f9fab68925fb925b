"""The demo model, and a small tree of demo frames to run it on."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from refvessel.dataset.convert import convert_dataset
from refvessel.dataset.tree import Expression
from refvessel.demo.labelme import write_labelme_folder
from refvessel.inference.run import segment_shard
from refvessel.inference.shard import Run
from refvessel.masks import empty


@pytest.fixture(scope="session")
def tree(tmp_path_factory) -> Path:
    """Three frames, two expressions each."""
    folder = tmp_path_factory.mktemp("tree")
    write_labelme_folder(output=folder / "frames", patients=[0], frames=3)
    convert_dataset(
        source_format="labelme",
        root=folder / "frames",
        output=folder / "tree",
        phrases={"vessel": "blood vessel", "catheter": "catheter"},
        single_split="test",
        include_empty=True,
        key_file=folder / "secret" / "key",
    )
    return folder / "tree"


@pytest.fixture(scope="session")
def segmented(tree, demo_model, tmp_path_factory) -> Path:
    """The whole split in one shard, image by image, with its logits."""
    shard = tmp_path_factory.mktemp("segmented") / "all.jsonl"
    segment_shard(model=demo_model, dataset=tree, split="test", output=shard, batch_size=1, save_logits=True)
    return shard


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
def run() -> Run:
    """What a shard was made by."""
    return Run(
        model="m",
        dataset="d",
        split="test",
        shard="1/1",
        question="?",
        dtype="float32",
        device="cpu",
        language_weights=None,
        batch_size=1,
        draft=None,
        max_new_tokens=9,
        flips=False,
        compiled=False,
        save_logits=False,
        versions={},
    )


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
