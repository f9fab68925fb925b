"""The settings of a model that is spread over devices, read and checked without loading PyTorch."""

import re
from collections.abc import Mapping
from typing import Any

from refvessel.errors import UserError

AUTO = "auto"
CPU = "cpu"
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([KMGT]?)(i?)B")
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def stated_memory(
    *,
    device_map: str | None,
    max_memory: Mapping[Any, Any] | None,
    gpus_per_job: int,
    device: str | None,
    compiled: bool,
) -> dict[int | str, int] | None:
    """What weights may take at most, in bytes, by GPU number or "cpu"; None for a model whole on one device.

    A model is spread where it is asked for (`device_map: auto`), and over the GPUs of a job that takes several.

    Args:
        device_map: auto or None.
        max_memory: GPU number within the job or cpu -> a size, e.g. 20GiB; None or empty leaves it open.
        gpus_per_job: GPUs that a job takes, where it runs on any.
        device: cpu, cuda, or None where it is not known yet.
        compiled: whether the model is to be compiled.

    Raises:
        UserError: for settings that are not known or exclude each other.
    """
    if device_map not in (None, AUTO):
        raise UserError(f"device_map is {device_map!r}; give {AUTO}, or leave it out.")
    gpus = 0 if device == CPU else gpus_per_job
    if device_map is None and gpus <= 1:
        if max_memory:
            raise UserError(f"max_memory is of a model that is spread over devices; set device_map: {AUTO}.")
        return None
    if compiled:
        raise UserError(
            "compiled needs the whole model on one GPU; leave it out, or device_map and gpus_per_job above 1."
        )
    return {_device(key, gpus): _bytes(key, size) for key, size in (max_memory or {}).items()}


def _device(key: Any, gpus: int) -> int | str:
    known = [*map(str, range(gpus)), CPU]
    if str(key) not in known:
        raise UserError(
            f"max_memory names {key!r}, but the job has {', '.join(known)}; name one of those, GPUs by number."
        )
    return CPU if key == CPU else int(key)


def _bytes(key: Any, size: Any) -> int:
    match = _SIZE.fullmatch(str(size))
    if not match:
        raise UserError(f"max_memory: {key} is {size!r}, which is no size; write it like 20GiB or 500MB.")
    number, prefix, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** _POWERS[prefix])
