"""What Slurm's commands print is understood, and a killed run's jobs are ended, and nobody else's."""

import os
from pathlib import Path

import pytest

from refvessel.errors import UserError
from refvessel.jobs.slurm import Partition, accounts, cancel_jobs_of, partitions

UUID = "8d0ad713-df7b-4f23-ac22-5b608edc97f0"


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """A function that puts a command on the path, which runs a line of shell."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def put(name: str, line: str) -> Path:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)
        return path

    for name in ("sbatch", "squeue", "sinfo", "scancel"):
        put(name, "true")
    return put


def test_partitions_have_limits_and_the_gpus_of_all_their_nodes(commands):
    lines = [
        "cpu|up|infinite|8|(null)",
        "gpu|up|2-12:30:00|2|gpu:a100:4(S:0-1)",
        "gpu|up|2-12:30:00|1|gpu:v100:2,shard:8",
        "mig|down|30:00|1|gpu:1g.10gb:7",
    ]
    commands("sinfo", "printf '%s\\n' " + " ".join(f"'{line}'" for line in lines))
    assert partitions() == {
        "cpu": Partition("cpu", True, None, 0),
        "gpu": Partition("gpu", True, 3630, 10),
        "mig": Partition("mig", False, 30, 7),
    }


def test_slurm_that_does_not_answer_is_one_sentence(commands):
    commands("sacctmgr", "echo 'no database' >&2; echo more >&2; exit 1")
    with pytest.raises(UserError, match=r"^sacctmgr failed \(no database\); see whether Slurm runs\.$"):
        accounts()


def test_jobs_of_a_killed_run_are_cancelled_and_no_others(commands, tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    jobs = [
        f"11_1|{UUID}|{here}",
        f"11_[2-3]|mine_{UUID}|{here}",
        f"12|{UUID}|{tmp_path}",  # of a run in another folder
        f"13|interactive|{here}",  # a shell of the user's
    ]
    (tmp_path / "jobs").write_text("\n".join(jobs) + "\n")
    commands("squeue", f"cat {tmp_path}/jobs")
    commands("scancel", f"echo \"$@\" > {tmp_path}/cancelled; sed -i '/^11/d' {tmp_path}/jobs")
    assert cancel_jobs_of(here) == 2
    assert (tmp_path / "cancelled").read_text() == "11_1 11_[2-3]\n"
    assert cancel_jobs_of(here) == 0


def test_where_slurm_does_not_answer_nothing_is_cancelled(commands, tmp_path):
    commands("squeue", "exit 1")
    assert cancel_jobs_of(tmp_path) == 0


def test_without_slurm_nothing_is_cancelled(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", "")
    assert cancel_jobs_of(tmp_path) == 0
