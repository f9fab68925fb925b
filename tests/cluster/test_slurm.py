"""Through a real Slurm, whatever is killed: nothing is lost, nothing doubled, and all is as without Slurm."""

import re
import shutil
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from run_differences import differences
from small_demo import ROOT, SNAKEMAKE, write_small_demo
from toy_slurm import PREFIX, Slurm, toy_slurm, why_not

from refvessel.doctor.profile_checks import look_at_profile

PLUGIN = "snakemake_executor_plugin_slurm"
SEGMENT = "segment_shard"
PARTS = ("1-of-3", "2-of-3", "3-of-3")
MOST_ANSWERS = 16  # of the 24 of a shard, from which on it may end before anybody does something to it
# The first attempt gets too little, a further one enough.
TOO_LITTLE = [
    "convert_checkpoint:runtime=1 if attempt == 1 else 20",
    "gather_predictions:mem_mb=250 if attempt == 1 else 2000",
]
QUICK = ["--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "2"]
SECONDS = 900  # that a step may take on a busy machine


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    pytest.importorskip(PLUGIN, reason="the extra slurm is not installed (`make test-slurm` installs it)")
    if reason := why_not():
        pytest.skip(f"no Slurm: {reason}")
    root = Path(tempfile.mkdtemp(prefix=PREFIX))  # short: Slurm's sockets have long names
    try:
        with toy_slurm(root) as slurm:
            yield slurm
    finally:
        shutil.rmtree(root, ignore_errors=True)


@dataclass(frozen=True)
class SlurmJob:
    """A job of Slurm: its own number, and the name of an element of an array, by which scancel knows it."""

    number: str
    name: str


@dataclass(frozen=True)
class Incident:
    """What happened to jobs.

    answers: how many of the job's answers were on the disk at that moment.
    state: how Slurm calls a job to which it happened.
    """

    what: str
    jobs: list[SlurmJob]
    state: str
    answers: int = 0


class Run:
    """The workflow through Slurm, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        profile = ["--workflow-profile", str(ROOT / "profiles/slurm"), "--latency-wait", "20", *QUICK]
        command = [*SNAKEMAKE, *profile, "--set-resources", *TOO_LITTLE]
        with (folder / "console.txt").open("a") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, stdout=log, stderr=log, start_new_session=True
            )

    def told(self) -> str:
        """What its console says so far."""
        return (self.folder / "console.txt").read_text()

    def wait_for(self, what: Callable[[], Any]) -> Any:
        """The first result of `what` that is not empty."""
        deadline = time.monotonic() + SECONDS
        while not (found := what()):
            assert self.process.poll() is None, self.told()
            assert time.monotonic() < deadline, self.told()
            time.sleep(0.1)
        return found

    def script_of(self, rule: str, part: str = "") -> psutil.Process | None:
        """The process of a job's script; `part` is one of a split's shards."""
        pythons = (each for each in psutil.process_iter(["name"]) if each.info["name"].startswith("python"))
        for process in pythons:
            with suppress(psutil.Error, IndexError):
                ours = Path(process.cwd()) == self.folder and process.cmdline()[-1].endswith(f".{rule}.py")
                if ours and part in " ".join(process.parent().cmdline()):
                    return process
        return None

    def answered(self, part: str) -> int:
        """How many answers a shard has on the disk."""
        files = (self.folder / "results/answers").glob(f"*/demo.demo.test.{part}.jsonl")
        return sum(file.read_bytes().count(b"\n") for file in files)

    def first_under_way(self, parts: list[str]) -> tuple[str, psutil.Process] | None:
        """The first of these shards that has answered something, but not all, and its script."""
        for part in parts:
            if 0 < self.answered(part) < MOST_ANSWERS and (script := self.script_of(SEGMENT, f"part={part}")):
                return part, script
        return None

    def end(self) -> None:
        """Kill it, unless it has ended."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@pytest.fixture
def start(slurm) -> Iterator[Callable[[Path], Run]]:
    """A function that starts a run, which does not outlive the test."""
    runs = []

    def start(folder: Path) -> Run:
        runs.append(Run(folder))
        return runs[-1]

    yield start
    for run in runs:
        run.end()


@pytest.mark.parametrize(
    ("name", "told"),
    [("gpu", None), ("gpus", "'gpus' is none of Slurm's, which are cpu, gpu, urgent; correct the name")],
)
def test_the_doctor_says_the_truth_of_partitions(slurm, tmp_path, name, told):
    partitions = {"cpu": {"max_runtime": 60}, name: {"max_runtime": 60, "max_gpu": 2}}
    (tmp_path / "profile.yaml").write_text(yaml.safe_dump({"executor": "slurm", "partitions": partitions}))
    failures = [each.told for each in look_at_profile(tmp_path, with_gpu=True) if each.state == "failure"]
    assert failures == ([told] if told else [])


def test_whatever_is_killed_nothing_is_lost_and_nothing_doubled(slurm, start, plain_run, tmp_path, tell):
    folder = write_small_demo(tmp_path / "slurm")
    run = start(folder)
    incidents = [*exceed_time(run), *end_shards(run, slurm), kill_snakemake(run)]
    again = start(folder)
    again.process.wait(timeout=SECONDS)
    assert again.process.returncode == 0, again.told()
    assert "The lock of a killed run was taken away." in again.told()
    assert unfinished(slurm) == []
    incidents.append(Incident("exceeds its memory", jobs_over_memory(slurm), "FAILED"))
    plain, its_folder = plain_run
    assert plain.wait(timeout=SECONDS) == 0, (its_folder / "console.txt").read_text()
    compared, states = differences(folder / "results", its_folder / "results"), states_at_end(slurm)
    tell(table(incidents, states), compared.summary())
    assert compared.different == []
    assert compared.absent == []
    for each in incidents:
        assert each.jobs, f"no job {each.what}"
        assert all(each.state in states[job.number] for job in each.jobs), each.what


def exceed_time(run: Run) -> Iterator[Incident]:
    """Stop a job, so that it is still there when its time is over."""
    script = run.wait_for(lambda: run.script_of("convert_checkpoint"))
    yield Incident("exceeds its time", [job_of(script)], "TIMEOUT")
    script.suspend()


def end_shards(run: Run, slurm: Slurm) -> Iterator[Incident]:
    """Cancel one shard in the middle, kill another, and let a third be preempted."""
    parts = [*PARTS]
    part, script = run.wait_for(lambda: run.first_under_way(parts))
    job = job_of(script)
    yield Incident("is cancelled (scancel)", [job], "CANCELLED", run.answered(part))
    slurm.answer("scancel", job.name)
    parts.remove(part)

    part, script = run.wait_for(lambda: run.first_under_way(parts))
    yield Incident("is killed (kill -9)", [job_of(script)], "FAILED", run.answered(part))
    script.kill()
    parts.remove(part)

    part, script = run.wait_for(lambda: run.first_under_way(parts))
    job = job_of(script)
    yield Incident("is preempted", [job], "PREEMPTED", run.answered(part))
    urgent = slurm.answer(
        "sbatch", "--parsable", "--partition=urgent", "--gpus=2", "--output=/dev/null", "--wrap=true"
    )
    run.wait_for(lambda: state(slurm, urgent.strip()) == "COMPLETED")


def kill_snakemake(run: Run) -> Incident:
    """Kill the run itself; what it left to Slurm goes on, or would, were it not stopped until somebody ends it."""
    script = run.wait_for(lambda: run.script_of(SEGMENT))
    script.suspend()
    run.end()
    return Incident("loses its snakemake (kill -9)", [job_of(script)], "CANCELLED")


def job_of(process: psutil.Process) -> SlurmJob:
    """The job of Slurm that a process runs in."""
    environment = process.environ()
    number = environment["SLURM_JOB_ID"]
    if "SLURM_ARRAY_TASK_ID" not in environment:
        return SlurmJob(number, number)
    return SlurmJob(number, f"{environment['SLURM_ARRAY_JOB_ID']}_{environment['SLURM_ARRAY_TASK_ID']}")


def state(slurm: Slurm, number: str) -> str:
    """How Slurm calls what a job does now."""
    return next(each["JobState"] for each in slurm.jobs() if each["JobId"] == number)


def unfinished(slurm: Slurm) -> list[str]:
    """The jobs that wait or run."""
    states = ("PENDING", "RUNNING", "COMPLETING", "SUSPENDED")
    return [each["JobId"] for each in slurm.jobs() if each["JobState"] in states]


def states_at_end(slurm: Slurm) -> dict[str, list[str]]:
    """Number of each job -> the states that it ended in, several where it was begun anew."""
    states: dict[str, list[str]] = defaultdict(list)
    text = (slurm.root / "log/jobcomp.txt").read_text()
    for number, state in re.findall(r"^JobId=(\d+) .*? JobState=(\w+)", text, re.MULTILINE):
        states[number].append(state)
    return states


def jobs_over_memory(slurm: Slurm) -> list[SlurmJob]:
    """The jobs that Slurm ended because they took more memory than they had asked for."""
    logs = "".join(path.read_text() for path in (slurm.root / "log").glob("slurm*.log"))
    numbers = set(re.findall(r"(?:JobId=|StepId=)(\d+)[^\n]*exceeded memory limit", logs))
    return [SlurmJob(number, number) for number in sorted(numbers)]


def table(incidents: list[Incident], states: dict[str, list[str]]) -> str:
    """What happened to which job, how Slurm calls it, and how many answers were on the disk by then."""
    rows = [("a job that", "Slurm's job", "ended as", "answers by then")]
    for each in incidents:
        ends = "; ".join(", ".join(states[job.number]) for job in each.jobs)
        rows.append((each.what, ", ".join(job.name for job in each.jobs), ends, str(each.answers or "")))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(["", *(line.rstrip() for line in lines)])
