"""Where a model runs, and in which precision."""

import resource
from collections.abc import Mapping
from typing import Any

import psutil
import torch

from refvessel.errors import UserError

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_SHARE_FOR_WEIGHTS = 0.9  # of what is free; the rest is for what is computed


def choose_device(name: str | None) -> torch.device:
    """The named device, else a GPU where there is one; raises UserError for one that is not there.

    It asks the driver's management library, so that CUDA itself still takes the GPUs that are claimed later.
    """
    if name is None:
        name = "cuda" if torch.cuda.device_count() else "cpu"
    if name not in ("cpu", "cuda"):
        raise UserError(f"the device {name!r} is unknown; give cpu or cuda.")
    if name == "cuda" and not torch.cuda.device_count():
        raise UserError("the device cuda was asked for, but PyTorch sees no GPU; give cpu.")
    return torch.device(name)


def choose_dtype(name: str | None, device: torch.device) -> torch.dtype:
    """The named precision, else bfloat16 on a GPU and float32 on the CPU; raises UserError for another."""
    if name is None:
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if name not in _DTYPES:
        raise UserError(f"the dtype {name!r} is unknown; give one of {', '.join(_DTYPES)}.")
    return _DTYPES[name]


def memory_for_weights(device: torch.device, stated: Mapping[int | str, int]) -> dict[int | str, int]:
    """Bytes that weights may take: of each visible GPU, where `device` is one, then of the host ("cpu").

    They are what is stated where that is free, and nine tenths of what is free where nothing is stated.
    """
    gpus = range(torch.cuda.device_count()) if device.type == "cuda" else ()
    free = {gpu: torch.cuda.mem_get_info(gpu)[0] for gpu in gpus} | {"cpu": psutil.virtual_memory().available}
    return {
        where: min(room, stated.get(where, int(room * _SHARE_FOR_WEIGHTS))) for where, room in free.items()
    }


def describe_device(device: torch.device, device_map: Mapping[str, Any] | None = None) -> str:
    """The device in words: cpu, or cuda and the GPU's name; for a spread model also where its parts lie."""
    name = f"cuda, {torch.cuda.get_device_name(device)}" if device.type == "cuda" else device.type
    if device_map is None:
        return name
    return f"{name}, spread over {', '.join(sorted(map(str, set(device_map.values()))))}"


def peak_memory(device: torch.device) -> int:
    """The most bytes that were in use at once: on all visible GPUs together, else in this process."""
    if device.type == "cuda":
        return sum(map(torch.cuda.max_memory_reserved, range(torch.cuda.device_count())))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB


def require_working_gpu() -> None:
    """Raise what CUDA raises after an error that it does not recover from: no other image could be computed."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
