"""What a killed run left is put away by the next one, and nothing of a run that lives."""

import signal
import subprocess
import sys

import pytest

from refvessel.jobs.runs import begin_run, refusals, refuse

RUN = """
import time
from pathlib import Path
from refvessel.jobs.runs import begin_run
begin_run(Path(".snakemake"))
Path(".snakemake/locks").mkdir(exist_ok=True)
Path(".snakemake/locks/0.output.lock").write_text("results/report")
print("locked", flush=True)
time.sleep(600)
"""


@pytest.fixture
def state(tmp_path, monkeypatch):
    """Snakemake's folder in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("refvessel.jobs.runs._SECONDS_FOR_JOBS_TO_END", 0.5)
    return tmp_path / ".snakemake"


@pytest.fixture
def other(state):
    """Another run in the same folder, which has locked it."""
    with subprocess.Popen(
        [sys.executable, "-c", RUN], cwd=state.parent, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout.readline() == "locked\n"
        yield run
        run.kill()


def end(run):
    run.send_signal(signal.SIGKILL)
    run.wait()


def test_the_lock_of_a_killed_run_is_taken_away(state, other):
    end(other)
    assert begin_run(state)
    assert not list(state.glob("locks/*"))


def test_what_a_killed_run_left_to_a_scheduler_is_ended_before_its_lock_is_taken(state, other):
    end(other)
    cancelled = []
    assert begin_run(state, lambda folder: cancelled.append(folder) or len(cancelled))
    assert cancelled == [state.parent]


def test_what_a_living_run_has_at_a_scheduler_goes_on(state, other):
    assert not begin_run(state, pytest.fail)


def test_the_lock_of_a_living_run_stays(state, other):
    assert not begin_run(state)
    assert list(state.glob("locks/*"))


def test_the_lock_of_a_run_on_another_machine_stays(state, other):
    end(other)
    (state / "refvessel.machine").write_text("elsewhere")
    assert not begin_run(state)
    assert list(state.glob("locks/*"))


def test_the_lock_of_a_workflow_that_gives_no_sign_of_life_stays(state):
    """Another Snakefile in the same folder."""
    (state / "locks").mkdir(parents=True)
    (state / "locks/0.output.lock").write_text("other/results")
    assert not begin_run(state)
    assert list(state.glob("locks/*"))


def test_a_lock_stays_as_long_as_jobs_of_the_killed_run_work(state, other):
    end(other)
    job = [sys.executable, "-c", "import time; time.sleep(600)", ".snakemake/scripts/tmp1.segment_shard.py"]
    with subprocess.Popen(job, cwd=state.parent) as orphan:
        try:
            assert not begin_run(state)
        finally:
            orphan.kill()
    assert list(state.glob("locks/*"))


def test_why_jobs_ended_is_told_once(state):
    refuse("refvessel: the disk is full.")
    refuse("refvessel: two problems:\n- one\n- another")
    refuse("refvessel: the disk is full.")
    assert refusals() == ["refvessel: the disk is full.", "refvessel: two problems:\n- one\n- another"]
    assert refusals() == []
