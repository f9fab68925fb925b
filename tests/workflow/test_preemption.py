"""A scheduler that takes a shard's job away loses what was in the model at that moment, and nothing else."""

import json
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest

SHARD = "predictions/demo/demo/test/shards/1-of-2.jsonl"
JOB = "answers/*/demo.demo.test.1-of-2.jsonl"


@pytest.fixture
def unfinished(demo, start, tmp_path):
    """The finished demo without its first shard, in a folder of its own."""
    workflow = start(tmp_path / "run")
    shutil.copytree(demo.directory, workflow.directory, dirs_exist_ok=True)
    (workflow.results / SHARD).unlink()
    shutil.rmtree(workflow.results / "answers")  # in which all that it answered is kept
    return workflow


def test_a_preempted_shard_fails_with_what_it_finished_and_is_resumed(demo, unfinished):
    with subprocess.Popen(
        unfinished.command(f"results/{SHARD}"),
        cwd=unfinished.directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as snakemake:
        while not any(b"\n" in job.read_bytes() for job in unfinished.results.glob(JOB)):
            assert snakemake.poll() is None, snakemake.stdout.read()
            time.sleep(0.05)
        for process in psutil.Process(snakemake.pid).children(recursive=True):
            process.send_signal(signal.SIGTERM)
        begin = time.monotonic()
        told = snakemake.communicate(timeout=120)[0]
    assert time.monotonic() - begin < 10
    assert snakemake.returncode != 0, told
    (job,) = unfinished.results.glob(JOB)
    kept = job.read_bytes()
    assert kept.endswith(b"\n")
    assert not (unfinished.results / SHARD).exists()

    resumed = unfinished.run(f"results/{SHARD}")
    assert resumed.returncode == 0, resumed.stderr
    assert (unfinished.results / SHARD).read_bytes().startswith(kept)
    assert without_seconds(unfinished.results / SHARD) == without_seconds(demo.results / SHARD)
    status = subprocess.run(
        [sys.executable, "-m", "refvessel.cli", "status", str(unfinished.results)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{job.relative_to(unfinished.results).with_suffix('')}  finished" in status.stdout


def without_seconds(shard):
    records = [json.loads(line) for line in shard.read_text().splitlines()]
    return [{key: value for key, value in each.items() if key != "seconds"} for each in records]
