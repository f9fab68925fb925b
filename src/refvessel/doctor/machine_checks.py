"""What this machine has: versions, GPUs, memory, disk, and folders that may be written."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import psutil
from packaging.requirements import Requirement

from refvessel import __version__
from refvessel.doctor.finding import Finding
from refvessel.errors import UserError
from refvessel.jobs.gpus import usable_gpus
from refvessel.locks import try_lock
from refvessel.settings.inference_section import Inference
from refvessel.temporaries import new_file

_TOLD = ("torch", "transformers", "snakemake")
_GIGABYTE = 1e9
_SECONDS_OF_TOOLS = 60
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_TRIAL = bytes(1 << 20)


def look_at_versions() -> Finding:
    """Whether each library is there in a version that RefVessel allows."""
    wrong = [*_unmet_requirements()]
    if wrong:
        return Finding(
            "versions", "failure", f"{'; '.join(wrong)}; install RefVessel anew, with its constraints.txt"
        )
    told = [f"{name} {metadata.version(name)}" for name in _TOLD]
    return Finding("versions", "fine", ", ".join([f"refvessel {__version__}", *told]))


def _unmet_requirements() -> Iterator[str]:
    for text in metadata.requires("refvessel") or ():
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield f"{requirement.name} is not installed"
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            yield f"{requirement.name} {version} is not {requirement.specifier}"


def look_at_gpus(inference: Inference | None) -> Finding:
    """Which GPUs jobs may use here, and their driver.

    Args:
        inference: how models are run; None where nothing says it.
    """
    usable, listed = usable_gpus(), _gpus_of_the_driver()
    wanted = inference is not None and inference.device == "cuda"
    per_job = inference.gpus_per_job if inference is not None and inference.device != "cpu" else 1
    if usable:
        names = ", ".join(sorted(set(listed))) or "nvidia-smi does not answer"
        told = f"{len(usable)} that models can use ({names})"
        if len(usable) < per_job:
            return Finding("GPUs", "failure", f"{told}, fewer than gpus_per_job, {per_job}; lower it")
        return Finding("GPUs", "fine", told)
    if listed:
        stated = os.environ.get("CUDA_VISIBLE_DEVICES")
        why = (
            f"CUDA_VISIBLE_DEVICES is {stated!r}"
            if stated is not None
            else f"PyTorch {metadata.version('torch')} or the driver does not fit them"
        )
        return Finding(
            "GPUs", "failure" if wanted else "warning", f"{', '.join(listed)}, but none can be used: {why}"
        )
    if wanted:
        return Finding("GPUs", "failure", "none, and inference.device is 'cuda'; leave that out, or give cpu")
    return Finding("GPUs", "fine", "none here: models run on the CPU, slowly")


def _gpus_of_the_driver() -> list[str]:
    """Name, memory and driver of each GPU that NVIDIA's own tool lists, whether or not PyTorch can use it."""
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=True,
            timeout=_SECONDS_OF_TOOLS,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    parts = [line.split(", ") for line in listed.splitlines() if line.count(", ") == 2]
    return [f"{name} with {memory}, driver {driver}" for name, memory, driver in parts]


def look_at_memory(needed_mb: float) -> Finding:
    """Whether the memory that is free, or that a scheduler's job has, carries one job of a model."""
    free = min(psutil.virtual_memory().available, _limit_of_this_job())
    told = f"{free / _GIGABYTE:.1f} GB free; a job of a model takes about {needed_mb / 1000:.1f} GB"
    if free < needed_mb * 1e6:
        return Finding("memory", "failure", f"{told}; free some, or take a larger machine")
    return Finding("memory", "fine", told)


def _limit_of_this_job() -> float:
    """Bytes that the control group of this process may take; infinite where nothing limits it."""
    for place in map(Path, _CGROUP_LIMITS):
        if place.is_file() and (text := place.read_text("utf-8").strip()).isdigit():
            return int(text)
    return float("inf")


def look_at_disk(folder: Path, needed_mb: float) -> Finding:
    """Whether the results find room: what is free, and whether a file can be written at all.

    Args:
        folder: of the results; may still have to be made.
        needed_mb: about what converted models and data sets will take.
    """
    place = _nearest(folder)
    free = shutil.disk_usage(place).free
    told = f"{free / _GIGABYTE:.1f} GB free for {folder}"
    if needed_mb:
        told += f"; models and data will take about {needed_mb / 1000:.1f} GB"
    if free < max(needed_mb * 1e6, len(_TRIAL)):
        return Finding("disk", "failure", f"{told}; free some, or change pathvars.results")
    return Finding("disk", "fine", told)


def look_at_folders(results: Path) -> Finding:
    """Whether what a run writes into may be written and locked: results, working directory, folder for locks."""
    places = {
        str(results): _nearest(results),
        "the working directory": Path.cwd(),
        "the folder of temporary files": Path(tempfile.gettempdir()),
    }
    wrong = [f"{name}: {why}" for name, place in places.items() if (why := _why_not_writable(place))]
    if wrong:
        return Finding("write access", "failure", "; ".join(wrong))
    return Finding("write access", "fine", f"{', '.join(places)}")


def _why_not_writable(place: Path) -> str | None:
    try:
        trial = new_file(place / "refvessel-doctor")
    except OSError as error:
        return f"{error.strerror}; give yourself access, or choose another"
    try:
        trial.write_bytes(_TRIAL)
        with try_lock(trial):
            return None
    except OSError as error:
        return f"{error.strerror}; free some space, or choose another"
    except UserError as error:
        return str(error).removesuffix(".")
    finally:
        trial.unlink(missing_ok=True)


def _nearest(folder: Path) -> Path:
    """The folder, or the first above it that is there."""
    folder = folder.absolute()
    return next(place for place in (folder, *folder.parents) if place.is_dir())
