"""Each job has GPUs of its own for as long as it lives, and not longer."""

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import pytest

from refvessel.errors import UserError
from refvessel.jobs.gpus import claimed_gpus, usable_gpus, visible_gpus
from refvessel.locks import try_lock

HOLDER = """
import time
from refvessel.jobs.gpus import claimed_gpus
with claimed_gpus({count}, lambda: print("waiting", flush=True)) as held:
    print(*held, flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def machine(monkeypatch, tmp_path):
    """Two GPUs that nobody holds."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-5f")
    for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def start() -> Iterator:
    """A function that starts a job which claims GPUs, and then holds them."""
    jobs = []

    def start(count=1, **environment):
        command = [sys.executable, "-c", HOLDER.format(count=count)]
        jobs.append(
            subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.PIPE, text=True)
        )
        return jobs[-1]

    yield start
    for job in jobs:
        job.kill()
        job.communicate()


def test_jobs_take_different_gpus_and_the_next_waits_until_one_is_killed(start):
    first, second = start(), start()
    taken = [first.stdout.readline().strip(), second.stdout.readline().strip()]
    assert sorted(taken) == ["4", "GPU-5f"]
    third = start()
    assert third.stdout.readline() == "waiting\n"
    second.send_signal(signal.SIGKILL)
    assert third.stdout.readline().strip() == taken[1]


def test_a_job_that_needs_several_holds_none_while_it_waits(start, monkeypatch):
    with claimed_gpus(1, pytest.fail) as held:
        assert held == ["4"]
        several = start(2, CUDA_VISIBLE_DEVICES="4,GPU-5f")
        assert several.stdout.readline() == "waiting\n"
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-5f")
        with claimed_gpus(1, lambda: None) as other:
            assert other == ["GPU-5f"]
    assert several.stdout.readline() == "4 GPU-5f\n"


def test_jobs_that_need_several_and_start_together_all_get_them_in_turn(start):
    jobs = [start(2) for _ in range(3)]
    for _ in range(len(jobs)):
        while not (holders := [job for job in jobs if holds_both(job)]):
            time.sleep(0.05)
        (holder,) = holders
        holder.send_signal(signal.SIGKILL)
        jobs.remove(holder)


def holds_both(job) -> bool:
    """Whether a job has said that it holds both GPUs; what it says while it waits is read over."""
    while select.select([job.stdout], [], [], 0)[0]:
        if job.stdout.readline() == "4 GPU-5f\n":
            return True
    return False


def test_the_process_sees_only_what_it_holds():
    with claimed_gpus(1, pytest.fail):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "4"
    assert visible_gpus() == ["4"]


def test_devices_that_slurm_gave_are_kept_though_another_job_has_the_same_numbers(start):
    for job in ("11", "12"):
        given = start(SLURM_JOB_ID=job, CUDA_VISIBLE_DEVICES="0")
        assert given.stdout.readline() == "0\n"


def test_jobs_inside_one_slurm_job_share_what_it_was_given(start):
    inside = {"SLURM_JOB_ID": "11", "SLURM_STEP_ID": "3", "CUDA_VISIBLE_DEVICES": "0,1"}
    assert sorted(start(**inside).stdout.readline() for _ in range(2)) == ["0\n", "1\n"]


def test_more_gpus_than_there_are_is_an_error_at_once():
    with (
        pytest.raises(UserError, match=r"needs 3 GPUs, but sees 2 .*4,GPU-5f.*gpus_per_job"),
        claimed_gpus(3, print),
    ):
        pass


@pytest.mark.parametrize(("stated", "seen"), [("", []), ("-1", []), ("0, 2", ["0", "2"]), ("1,-1,0", ["1"])])
def test_the_visible_gpus_are_those_that_cuda_would_see(monkeypatch, stated, seen):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", stated)
    assert visible_gpus() == seen


def test_without_the_variable_all_gpus_of_the_machine_are_visible(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr("refvessel.jobs.gpus._counted_by_the_driver", lambda: 3)
    assert visible_gpus() == ["0", "1", "2"]


WHOLE = "GPU 0: NVIDIA H200 (UUID: GPU-aa)\nGPU 1: NVIDIA H200 (UUID: GPU-bb)\n"
DIVIDED = """GPU 0: NVIDIA H200 (UUID: GPU-aa)
  MIG 1g.18gb     Device  0: (UUID: MIG-a1)
  MIG 1g.18gb     Device  1: (UUID: MIG-a2)
GPU 1: NVIDIA H200 (UUID: GPU-bb)
"""


@pytest.mark.parametrize(
    ("stated", "listed", "counted", "usable"),
    [
        (None, WHOLE, 2, ["0", "1"]),
        (None, "", 2, ["0", "1"]),  # a container without nvidia-smi
        (None, DIVIDED, 1, ["MIG-a1", "MIG-a2", "GPU-bb"]),
        (None, "", 0, []),
        ("1", WHOLE, 1, ["1"]),
        ("GPU-bb,GPU-aa", WHOLE, 2, ["GPU-bb", "GPU-aa"]),
        ("0,1,2,3", WHOLE, 2, ["0", "1"]),
        ("MIG-a2,MIG-a1", DIVIDED, 1, ["MIG-a2", "MIG-a1"]),
        ("0,1", "", 0, []),  # stated on a machine without GPUs
        ("", WHOLE, 0, []),
    ],
)
def test_jobs_may_use_the_gpus_that_are_visible_and_that_cuda_finds(
    monkeypatch, stated, listed, counted, usable
):
    if stated is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", stated)
    monkeypatch.setattr("refvessel.jobs.gpus._counted_by_the_driver", lambda: counted)
    monkeypatch.setattr("refvessel.jobs.gpus._output_of", lambda *command: listed)
    assert usable_gpus() == usable


def test_looking_for_gpus_does_not_load_pytorch():
    look = "import sys; from refvessel.jobs.gpus import usable_gpus; usable_gpus(); print('torch' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"


def test_a_forked_process_does_not_keep_its_parents_locks(tmp_path):
    begun, begin = os.pipe()
    child = 0
    try:
        with try_lock(tmp_path / "lock") as mine:
            assert mine
            child = os.fork()
            if not child:
                os.write(begin, b"!")
                time.sleep(60)
                os._exit(0)
            os.read(begun, 1)
        with try_lock(tmp_path / "lock") as mine:
            assert mine
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def fails_on_a_gpu(error: Exception) -> None:
    """As a job does whose work raises `error`."""
    with claimed_gpus(1, pytest.fail):
        raise error


@pytest.mark.parametrize(
    ("error", "next_one"),
    [
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), "GPU-5f"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), "GPU-5f"),
        (
            RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"),
            "4",
        ),  # the model's fault, not the GPU's
        (UserError("the model does not fit."), "4"),
    ],
)
def test_work_whose_gpu_failed_goes_to_another(monkeypatch, error, next_one):
    with pytest.raises(type(error)):
        fails_on_a_gpu(error)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-5f")
    with claimed_gpus(1, pytest.fail) as held:
        assert held == [next_one]


def test_a_gpu_that_failed_is_taken_where_no_other_is_there_and_trusted_once_it_worked(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4")
    with pytest.raises(RuntimeError):
        fails_on_a_gpu(RuntimeError("CUDA error: unspecified launch failure"))
    with claimed_gpus(1, pytest.fail) as held:
        assert held == ["4"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-5f")
    with claimed_gpus(1, pytest.fail) as held:
        assert held == ["4"]


def test_a_job_waits_for_a_gpu_that_works_rather_than_take_one_that_failed(start):
    with pytest.raises(RuntimeError):
        fails_on_a_gpu(RuntimeError("CUDA error: unspecified launch failure"))
    holder = start(CUDA_VISIBLE_DEVICES="GPU-5f")
    assert holder.stdout.readline() == "GPU-5f\n"
    waiting = start(CUDA_VISIBLE_DEVICES="4,GPU-5f")
    assert waiting.stdout.readline() == "waiting\n"
    holder.kill()
    assert waiting.stdout.readline() == "GPU-5f\n"
