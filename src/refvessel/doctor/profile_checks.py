"""Whether a profile fits the site: its plugin, the scheduler's commands, partitions, account."""

import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.version import Version

from refvessel.doctor.finding import Finding
from refvessel.errors import UserError
from refvessel.files import read_yaml
from refvessel.jobs.slurm import Partition, accounts, partitions

_PLUGIN = "snakemake-executor-plugin-{executor}"
_OLDEST_OF_SLURM = Version("2.8")
_FILES = ("profile.yaml", "config.yaml")
_WHERE_JOBS_GO = "partitions"  # the key that the plugin reads, and Snakemake passes over
_FILE_OF_PARTITIONS = "slurm-partition-config"  # the key that says in which file
_LOCAL = ("local", None)
_MANIFEST = "job.yaml"  # of a profile whose jobs are Jobs of Kubernetes
_SECONDS_TO_ANSWER = 30


def look_at_profile(folder: Path, *, with_gpu: bool) -> list[Finding]:
    """What a run with this profile would need of the site.

    Args:
        folder: of the profile, or its file.
        with_gpu: whether models are asked on GPUs.

    Raises:
        UserError: where there is no profile.
    """
    found = _file_of(folder)
    profile = _read(found)
    executor = profile.get("executor")
    if executor in _LOCAL:
        return [Finding("executor", "fine", "jobs run on this machine")]
    findings = [_look_at_plugin(executor)]
    if executor == "slurm":
        findings += _look_at_slurm(profile, found.parent, with_gpu=with_gpu)
    elif executor == "cluster-generic":
        findings += _look_at_commands(profile, found.parent)
    return findings


def runs_elsewhere(folder: Path) -> bool:
    """Whether a profile sends jobs to other machines; raises UserError where there is no profile."""
    return _read(_file_of(folder)).get("executor") not in _LOCAL


def _file_of(folder: Path) -> Path:
    files = [folder, *(folder / name for name in _FILES)]
    found = next((path for path in files if path.is_file()), None)
    if found is None:
        raise UserError(f"--profile {folder} names no folder with {' or '.join(_FILES)}; check the path.")
    return found


def _read(file: Path) -> Mapping[str, Any]:
    profile = read_yaml(file)
    if not isinstance(profile, dict):
        raise UserError(f"{file} is no mapping of options; write `executor: slurm`, say.")
    return profile


def _look_at_plugin(executor: str) -> Finding:
    name = _PLUGIN.format(executor=executor)
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding("executor", "failure", f"{name} is not installed; pip install refvessel[{executor}]")
    if executor == "slurm" and Version(version) < _OLDEST_OF_SLURM:
        return Finding(
            "executor", "failure", f"{name} {version} is older than {_OLDEST_OF_SLURM}; upgrade it"
        )
    return Finding("executor", "fine", f"{name} {version}")


def _look_at_slurm(profile: Mapping[str, Any], folder: Path, *, with_gpu: bool) -> Iterator[Finding]:
    try:
        known = partitions()
    except UserError as error:
        yield Finding("Slurm", "failure", str(error).removesuffix("."))
        return
    yield Finding("Slurm", "fine", f"answers; its partitions are {', '.join(sorted(known))}")
    resources = _default_resources(profile)
    try:
        yield _look_at_partitions(_partitions_of(profile, folder), resources, known, with_gpu=with_gpu)
    except UserError as error:
        yield Finding("partitions", "failure", str(error).removesuffix("."))
    yield _look_at_account(resources.get("slurm_account"))


def _default_resources(profile: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a job asks for where nothing else says it; Snakemake takes a mapping, or a list of `name=value`."""
    stated = profile.get("default-resources") or {}
    if isinstance(stated, dict):
        return stated
    texts = [stated] if isinstance(stated, str) else stated
    pairs = (str(text).partition("=") for text in texts)
    return {name: value for name, _, value in pairs}


def _partitions_of(profile: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """The partitions that the plugin will read: of the profile, or of the file that it names."""
    named = profile.get(_FILE_OF_PARTITIONS)
    if named is not None:
        file = next((path for path in (folder / str(named), Path(str(named))) if path.is_file()), None)
        if file is None:
            raise UserError(f"{_FILE_OF_PARTITIONS} ({named}) names no file; correct the path.")
        profile = _read(file)
    stated = profile.get(_WHERE_JOBS_GO) or {}
    if not isinstance(stated, dict):
        raise UserError(f"{_WHERE_JOBS_GO} is no mapping; write each as `name: {{max_runtime: 60}}`, say.")
    return stated


def _look_at_partitions(
    stated: Mapping[str, Any],
    resources: Mapping[str, Any],
    known: Mapping[str, Partition],
    *,
    with_gpu: bool,
) -> Finding:
    """Whether jobs can go where the profile sends them: to one of several, or all to one, `slurm_partition`."""
    only = resources.get("slurm_partition")
    if only is None:
        wrong = [*_wrong_partitions(stated, known, with_gpu=with_gpu)]
    else:
        stated = {str(only): {}}
        wrong = [*_cannot_be_used(str(only), known)]
        if with_gpu and not wrong and not known[str(only)].gpus:
            wrong.append(f"{str(only)!r} has no GPUs; name another, or set inference.device: cpu")
    return Finding("partitions", "failure" if wrong else "fine", "; ".join(wrong) or ", ".join(stated))


def _wrong_partitions(
    stated: Mapping[str, Any], known: Mapping[str, Partition], *, with_gpu: bool
) -> Iterator[str]:
    if not stated:
        yield f"the profile names none; list them under {_WHERE_JOBS_GO}"
        return
    for name, limits in stated.items():
        if unusable := [*_cannot_be_used(name, known)]:
            yield from unusable
        elif isinstance(limits, dict):
            yield from _wrong_limits(name, limits, known[name])
        else:
            yield f"{name!r} states no limits; state max_runtime, in minutes, and the others"
    limits_of_all = [limits for limits in stated.values() if isinstance(limits, dict)]
    if with_gpu and not any(limits.get("max_gpu") for limits in limits_of_all):
        yield "none has GPUs; state max_gpu where there are some, or inference.device: cpu"


def _cannot_be_used(name: str, known: Mapping[str, Partition]) -> Iterator[str]:
    if name not in known:
        yield f"{name!r} is none of Slurm's, which are {', '.join(sorted(known))}; correct the name"
    elif not known[name].up:
        yield f"{name!r} takes no jobs at present; wait, or name another"


def _wrong_limits(name: str, limits: Mapping[str, Any], partition: Partition) -> Iterator[str]:
    longest, gpus = limits.get("max_runtime"), limits.get("max_gpu", 0)
    if longest is None:
        yield f"{name!r} states no max_runtime, without which it is never chosen; state it, in minutes"
    elif isinstance(longest, int) and partition.minutes is not None and longest > partition.minutes:
        yield f"{name!r} allows {partition.minutes} minutes, fewer than max_runtime, {longest}; lower that"
    if not isinstance(gpus, int):
        yield f"{name!r} states {gpus!r} as max_gpu; give a number"
    elif gpus > partition.gpus:
        yield f"{name!r} has {partition.gpus} GPUs, fewer than max_gpu, {gpus}; lower that"


def _look_at_account(stated: str | None) -> Finding:
    try:
        known = accounts()
    except UserError as error:
        told = f"{stated or 'none stated'}; not checked: {error}".removesuffix(".")
        return Finding("account", "warning" if stated else "fine", told)
    if stated is None:
        told = f"none stated; yours are {', '.join(known)}" if known else "none needed"
        return Finding("account", "fine", told)
    if known and str(stated) not in known:
        return Finding(
            "account", "failure", f"{stated!r} is not yours, which are {', '.join(known)}; correct it"
        )
    return Finding("account", "fine", str(stated))


def _look_at_commands(profile: Mapping[str, Any], folder: Path) -> Iterator[Finding]:
    """Whether the scheduler's commands that a profile names are on the path or beside it."""
    keys = [f"cluster-generic-{name}-cmd" for name in ("submit", "status", "cancel")]
    stated = {key: str(profile[key]) for key in keys if profile.get(key)}
    if keys[0] not in stated:
        yield Finding("scheduler", "failure", f"the profile has no {keys[0]}; uncomment your scheduler's")
        return
    programs = {key: shlex.split(command)[0] for key, command in stated.items()}
    beside = [program for program in programs.values() if (folder / program).is_file()]
    absent = [
        f"{program} ({key})"
        for key, program in programs.items()
        if program not in beside and not shutil.which(program)
    ]
    if absent:
        told = f"{', '.join(absent)} not on the path; log in where jobs are submitted, or correct the profile"
        yield Finding("scheduler", "failure", told)
    else:
        yield Finding("scheduler", "fine", ", ".join(programs.values()))
    if (folder / _MANIFEST).is_file():
        yield _look_at_kubernetes()


def _look_at_kubernetes() -> Finding:
    try:
        subprocess.run(["kubectl", "version"], capture_output=True, check=True, timeout=_SECONDS_TO_ANSWER)
    except (OSError, subprocess.SubprocessError):
        return Finding(
            "cluster", "failure", "kubectl reaches no cluster; set KUBECONFIG, and see `kubectl version`"
        )
    return Finding("cluster", "fine", "kubectl reaches it")
