"""Through a real Slurm, whatever is killed: nothing is lost, nothing doubled, and all is as without Slurm."""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from run_differences import differences
from toy_slurm import Slurm, toy_slurm, why_not

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = "snakemake_executor_plugin_slurm"
SEGMENT = "segment_shard"
# The first attempt gets too little; a further one what the rule says or more.
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
    root = Path(tempfile.mkdtemp(prefix="slurm-"))  # short: Slurm's sockets have long names
    try:
        with toy_slurm(root) as slurm:
            yield slurm
    finally:
        shutil.rmtree(root, ignore_errors=True)


class Run:
    """The workflow through Slurm, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        profile = ["--workflow-profile", str(ROOT / "profiles/slurm"), "--latency-wait", "20", *QUICK]
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
        command += ["--configfile", "my.yaml", *profile, "--set-resources", *TOO_LITTLE]
        self._log = (folder / "console.txt").open("a")
        self.process = subprocess.Popen(
            command, cwd=folder, stdout=self._log, stderr=self._log, start_new_session=True
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
            time.sleep(0.05)
        return found

    def script_of(self, rule: str, part: str | None = None) -> psutil.Process | None:
        """The process of a job's script; `part` is one of a split's shards."""
        for process in psutil.process_iter():
            with suppress(psutil.Error, IndexError):
                ours = Path(process.cwd()) == self.folder and process.cmdline()[-1].endswith(f".{rule}.py")
                if ours and (part is None or f"part={part}" in " ".join(process.parent().cmdline())):
                    return process
        return None

    def answered(self, part: str) -> int:
        """How many answers a shard has on the disk."""
        files = (self.folder / "results/answers").glob(f"*/demo.demo.test.{part}.jsonl")
        return sum(file.read_bytes().count(b"\n") for file in files)

    def under_way(self, part: str) -> psutil.Process | None:
        """The script of a shard that has answered something, but not all."""
        process = self.script_of(SEGMENT, part)
        return process if process and 0 < self.answered(part) < 18 else None

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._log.close()


def job_of(process: psutil.Process) -> str:
    """The number of the Slurm job that a process runs in."""
    return process.environ()["SLURM_JOB_ID"]


@pytest.fixture
def start(slurm, tmp_path):
    """A function that starts a run, which does not outlive the test."""
    runs = []

    def start(folder: Path) -> Run:
        runs.append(Run(folder))
        return runs[-1]

    yield start
    for run in runs:
        run.end()


def test_whatever_is_killed_nothing_is_lost_and_nothing_doubled(slurm, small_demo, start, tmp_path, capsys):
    folder, alone = small_demo(tmp_path / "slurm"), small_demo(tmp_path / "alone")
    local = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "1"]
    with (alone / "console.txt").open("w") as console:
        reference = subprocess.Popen(
            [*local, "--configfile", "my.yaml"], cwd=alone, stdout=console, stderr=console
        )
    killed: dict[
        str, tuple[str, int]
    ] = {}  # what was done -> Slurm's job, answers on the disk at that moment
    try:
        run = start(folder)
        stopped = run.wait_for(lambda: run.script_of("convert_checkpoint"))
        killed["exceeds its time"] = job_of(stopped), 0
        stopped.suspend()

        first, part = run.wait_for(
            lambda: next(
                (
                    (script, part)
                    for part in ("1-of-3", "2-of-3", "3-of-3")
                    if (script := run.under_way(part))
                ),
                None,
            )
        )
        killed["cancelled (scancel)"] = job_of(first), run.answered(part)
        slurm.answer("scancel", job_of(first))
        others = [each for each in ("1-of-3", "2-of-3", "3-of-3") if each != part]
        second, part = run.wait_for(
            lambda: next(((script, part) for part in others if (script := run.under_way(part))), None)
        )
        killed["killed (kill -9)"] = job_of(second), run.answered(part)
        second.kill()
        others.remove(part)
        third = run.wait_for(lambda: run.under_way(others[0]))
        killed["preempted"] = job_of(third), run.answered(others[0])
        slurm.answer("sbatch", "--partition=urgent", "--gpus=2", "--output=/dev/null", "--wrap=sleep 1")
        run.wait_for(lambda: restarts(slurm, killed["preempted"][0]))
        run.wait_for(lambda: run.script_of(SEGMENT))
        run.process.kill()
        run.end()
        left = [job for job in slurm.jobs() if job["JobState"] in ("PENDING", "RUNNING")]
        killed["snakemake itself (kill -9)"] = ", ".join(job["JobId"] for job in left), 0

        again = start(folder)
        again.process.wait(timeout=SECONDS)
        again.end()
        assert again.process.returncode == 0, again.told()
        assert reference.wait(timeout=SECONDS) == 0, (alone / "console.txt").read_text()
    finally:
        reference.kill()
        reference.wait()
    assert "The lock of a killed run was taken away." in again.told()
    states = final_states(slurm)
    over_memory = jobs_over_memory(slurm)
    assert len(over_memory) == 1
    killed["exceeds its memory"] = over_memory[0], 0
    compared = differences(folder / "results", alone / "results")
    with capsys.disabled():
        print(table(killed, states), compared.summary(), sep="\n")
    assert states[killed["exceeds its time"][0]] == "TIMEOUT"
    assert states[killed["cancelled (scancel)"][0]] == "CANCELLED"
    assert states[killed["killed (kill -9)"][0]] == "FAILED"
    assert all(job["JobState"] not in ("PENDING", "RUNNING") for job in slurm.jobs())
    assert compared.different == []
    assert compared.absent == []


def restarts(slurm: Slurm, job: str) -> int:
    """How often Slurm has begun a job anew."""
    return sum(int(each["Restarts"]) for each in slurm.jobs() if each["JobId"] == job)


def final_states(slurm: Slurm) -> dict[str, str]:
    """The state that each job last ended in, by its number."""
    text = (slurm.root / "log/jobcomp.txt").read_text()
    return dict(re.findall(r"^JobId=(\d+) .*? JobState=(\w+)", text, re.MULTILINE))


def jobs_over_memory(slurm: Slurm) -> list[str]:
    """The numbers of the jobs that Slurm ended because they took more memory than they had asked for."""
    logs = "".join(path.read_text() for path in (slurm.root / "log").glob("slurm*.log"))
    return sorted(set(re.findall(r"(?:JobId=|StepId=)(\d+)[^\n]*exceeded memory limit", logs)))


def table(killed: dict[str, tuple[str, int]], states: dict[str, str]) -> str:
    """What was done to which job, how Slurm called it, and how many answers it had given by then."""
    rows = [("what happened", "Slurm's job", "its last state", "answers kept")]
    for what, (jobs, answers) in killed.items():
        names = ", ".join(states.get(job, "?") for job in jobs.split(", ") if job) or "none was left"
        rows.append((what, jobs, names, str(answers or "")))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(["", *lines])
