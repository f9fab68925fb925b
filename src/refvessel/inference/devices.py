"""Where a model runs, and in which precision."""

import resource

import torch

from refvessel.errors import UserError

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


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
        raise UserError(f"the dtype {name!r} is unknown; give {' or '.join(_DTYPES)}.")
    return _DTYPES[name]


def describe_device(device: torch.device) -> str:
    """The device in words: cpu, or cuda and the GPU's name."""
    return f"cuda, {torch.cuda.get_device_name(device)}" if device.type == "cuda" else device.type


def peak_memory(device: torch.device) -> int:
    """The most bytes that were in use at once: on all visible GPUs together, else in this process."""
    if device.type == "cuda":
        return sum(map(torch.cuda.max_memory_reserved, range(torch.cuda.device_count())))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
