"""Tensors between host and device without making one wait for the other.

An ordinary copy waits until all that the device was told before is done. With pinned memory the device goes on,
and the host waits for the tensors it reads only.
"""

import torch


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The tensor of the host on a device; on a GPU it is there for all that is launched from now on."""
    if device.type != "cuda":
        return tensor.to(device)
    return (tensor if tensor.is_pinned() else tensor.pin_memory()).to(device, non_blocking=True)


class Arriving:
    """Tensors on their way to the host, behind all that was launched on their devices before."""

    def __init__(self, *tensors: torch.Tensor) -> None:
        self._tensors = [_copied(tensor) for tensor in tensors]
        self._events = [_behind(device) for device in {tensor.device for tensor in tensors if tensor.is_cuda}]

    def wait(self) -> list[torch.Tensor]:
        """The tensors on the host, in order, once they are there."""
        for event in self._events:
            event.synchronize()
        return self._tensors


def _behind(device: torch.device) -> torch.cuda.Event:
    """An event behind all that was launched on a device, which a host sleeps for: others need its core."""
    event = torch.cuda.Event(blocking=True)
    event.record(torch.cuda.current_stream(device))
    return event


def _copied(tensor: torch.Tensor) -> torch.Tensor:
    if not tensor.is_cuda:
        return tensor
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return host.copy_(tensor, non_blocking=True)
