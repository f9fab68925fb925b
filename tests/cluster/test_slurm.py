"""Through a real Slurm, whatever is killed: nothing is lost, nothing doubled, and all is as without Slurm."""

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
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
# The first attempt gets too little, a further one enough.
TOO_LITTLE = [
    "convert_checkpoint:runtime=1 if attempt == 1 else 60",
    "gather_predictions:mem_mb=600 if attempt == 1 else 2000",
]
# When a job stops and waits for what is to happen to it, however fast the machine is.
HELD = {
    "convert_checkpoint": "start",
    "gather_predictions": "1000 megabytes",
    **{f"{SEGMENT}.{part}": "1 images" for part in PARTS},
}
STOPPING = ROOT / "tests/helpers/held_jobs"
QUICK = ["--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "2"]
SECONDS = 3600  # until what hangs is ended; a slow and busy machine needs a part of it


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
    """What happened to a job.

    answers: how many of the job's answers were on the disk at that moment.
    state: how Slurm calls a job to which it happened.
    """

    what: str
    job: SlurmJob
    state: str
    answers: int = 0


class Run:
    """The workflow through Slurm, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        profile = ["--workflow-profile", str(ROOT / "profiles/slurm"), "--latency-wait", "20", *QUICK]
        command = [*SNAKEMAKE, *profile, "--set-resources", *TOO_LITTLE]
        places = [str(STOPPING), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(places)}
        with (folder / "console.txt").open("a") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
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

    def held(self, parts: Sequence[str]) -> tuple[str, psutil.Process] | None:
        """The first of these shards whose script has stopped itself, and the script."""
        pythons = (each for each in psutil.process_iter(["name"]) if each.info["name"].startswith("python"))
        for process in pythons:
            with suppress(psutil.Error, IndexError):
                ours = Path(process.cwd()) == self.folder and process.cmdline()[-1].endswith(f".{SEGMENT}.py")
                if ours and process.status() == psutil.STATUS_STOPPED:
                    told = " ".join(process.parent().cmdline())
                    if part := [part for part in parts if f"part={part}" in told]:
                        return part[0], process
        return None

    def answered(self, part: str) -> int:
        """How many answers a shard has on the disk."""
        files = (self.folder / "results/answers").glob(f"*/demo.demo.test.{part}.jsonl")
        return sum(file.read_bytes().count(b"\n") for file in files)

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
    for job, moment in HELD.items():
        hold(folder, job, moment)
    run = start(folder)
    incidents = [exceed_time(run, slurm), *end_shards(run, slurm), kill_snakemake(run)]
    again = start(folder)
    incidents.append(exceed_memory(again, slurm))
    again.process.wait(timeout=SECONDS)
    assert again.process.returncode == 0, again.told()
    assert "The lock of a killed run was taken away." in again.told()
    assert unfinished(slurm) == []
    plain, its_folder = plain_run
    assert plain.wait(timeout=SECONDS) == 0, (its_folder / "console.txt").read_text()
    compared, states = differences(folder / "results", its_folder / "results"), states_at_end(slurm)
    tell(table(incidents, states), compared.summary())
    assert compared.different == []
    assert compared.absent == []
    for each in incidents:
        assert each.state in states[each.job.number], each.what
    assert [each.answers for each in incidents] == [0, 2, 2, 2, 4, 0]


def hold(folder: Path, job: str, moment: str) -> None:
    """Let the next job of this name stop itself at a moment, see `held_jobs/sitecustomize.py`."""
    (folder / "held").mkdir(exist_ok=True)
    (folder / "held" / job).write_text(moment)


def exceed_time(run: Run, slurm: Slurm) -> Incident:
    """A job waits until its time is over."""
    job = run.wait_for(lambda: jobs_of("convert_checkpoint", slurm, ended_as="TIMEOUT"))[0]
    return Incident("exceeds its time", job, "TIMEOUT")


def exceed_memory(run: Run, slurm: Slurm) -> Incident:
    """A job holds more memory than it asked for until Slurm, which looks every second, sees it."""

    def found() -> list[SlurmJob]:
        over = numbers_over_memory(slurm)
        return [job for job in jobs_of("gather_predictions", slurm, ended_as="FAILED") if job.number in over]

    return Incident("exceeds its memory", run.wait_for(found)[0], "FAILED")


def end_shards(run: Run, slurm: Slurm) -> Iterator[Incident]:
    """Cancel one shard in the middle, kill another, and let a third be preempted."""
    parts = [*PARTS]
    part, script = run.wait_for(lambda: run.held(parts))
    job = job_of(script)
    yield Incident("is cancelled (scancel)", job, "CANCELLED", run.answered(part))
    slurm.answer("scancel", job.name)
    parts.remove(part)

    part, script = run.wait_for(lambda: run.held(parts))
    yield Incident("is killed (kill -9)", job_of(script), "FAILED", run.answered(part))
    script.kill()
    parts.remove(part)

    part, script = run.wait_for(lambda: run.held(parts))
    yield Incident("is preempted", job_of(script), "PREEMPTED", run.answered(part))
    hold(run.folder, f"{SEGMENT}.{part}", "1 images")  # when it goes on
    urgent = slurm.answer(
        "sbatch", "--parsable", "--partition=urgent", "--gpus=2", "--output=/dev/null", "--wrap=true"
    )
    run.wait_for(lambda: state(slurm, urgent.strip()) == "COMPLETED")


def kill_snakemake(run: Run) -> Incident:
    """Kill the run itself; what it left to Slurm is there until somebody ends it."""
    part, script = run.wait_for(lambda: run.held(PARTS))
    job = job_of(script)
    run.end()
    return Incident("loses its snakemake (kill -9)", job, "CANCELLED", run.answered(part))


def job_of(process: psutil.Process) -> SlurmJob:
    """The job of Slurm that a process runs in."""
    environment = process.environ()
    number = environment["SLURM_JOB_ID"]
    if "SLURM_ARRAY_TASK_ID" not in environment:
        return SlurmJob(number, number)
    return SlurmJob(number, f"{environment['SLURM_ARRAY_JOB_ID']}_{environment['SLURM_ARRAY_TASK_ID']}")


def jobs_of(rule: str, slurm: Slurm, ended_as: str) -> list[SlurmJob]:
    """The jobs of a rule, which is no array, that ended so."""
    return [
        SlurmJob(each["JobId"], each["JobId"])
        for each in slurm.jobs()
        if each.get("Comment", "").startswith(f"rule_{rule}") and each["JobState"] == ended_as
    ]


def state(slurm: Slurm, number: str) -> str:
    """How Slurm calls what a job does now."""
    return next(each["JobState"] for each in slurm.jobs() if each["JobId"] == number)


def unfinished(slurm: Slurm) -> list[str]:
    """The jobs that wait or run, or of which something is left though they have ended."""
    slurm.wait_for_ends()
    states = ("PENDING", "RUNNING", "COMPLETING", "SUSPENDED")
    return [each["JobId"] for each in slurm.jobs() if each["JobState"] in states]


def states_at_end(slurm: Slurm) -> dict[str, list[str]]:
    """Number of each job -> the states that it ended in, several where it was begun anew."""
    states: dict[str, list[str]] = defaultdict(list)
    text = (slurm.root / "log/jobcomp.txt").read_text()
    for number, state in re.findall(r"^JobId=(\d+) .*? JobState=(\w+)", text, re.MULTILINE):
        states[number].append(state)
    return states


def numbers_over_memory(slurm: Slurm) -> set[str]:
    """The jobs that Slurm ended because they took more memory than they had asked for."""
    logs = "".join(path.read_text() for path in (slurm.root / "log").glob("slurm*.log"))
    return set(re.findall(r"(?:JobId=|StepId=)(\d+)[^\n]*exceeded memory limit", logs))


def table(incidents: list[Incident], states: dict[str, list[str]]) -> str:
    """What happened to which job, how Slurm calls it, and how many answers were on the disk by then."""
    rows = [("a job that", "Slurm's job", "ended as", "answers by then")]
    for each in incidents:
        ends = ", ".join(states[each.job.number])
        rows.append((each.what, each.job.name, ends, str(each.answers or "")))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(["", *(line.rstrip() for line in lines)])
