"""What towers see in images, once for all models that share a tower.

A series of models looks at one batch of images after the other, each model in turn. What a shared tower sees in a
batch is kept until the last of those that share it has asked for it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn

T = TypeVar("T")


@dataclass
class _Look:
    """What a tower saw, in which images, and how many models have not asked for it yet."""

    images: tuple[object, ...]
    seen: Any
    awaited_by: int


class Looks:
    """What the towers of models on one device see, and the stream beside the device's main one that they look on.

    Args:
        shared: towers that several models share, and how many do; what others see is not kept.
    """

    def __init__(self, shared: Mapping[nn.Module, int] | None = None) -> None:
        self._shared = shared or {}
        self._last: dict[nn.Module, _Look] = {}
        self._streams: dict[torch.device, torch.cuda.Stream] = {}

    def side_stream(self, device: torch.device) -> torch.cuda.Stream | None:
        """The one stream beside the main one of a GPU; None of the CPU."""
        if device.type != "cuda":
            return None
        if device not in self._streams:
            self._streams[device] = torch.cuda.Stream(device)
        return self._streams[device]

    def once(self, tower: nn.Module, images: Sequence[object], look: Callable[[], T]) -> T:
        """What a tower sees in images, looked at if it is not what it saw last.

        Args:
            tower: whose look it is.
            images: those very objects, in this order.
            look: has the tower look at them.
        """
        if tower not in self._shared:
            return look()
        last = self._last.get(tower)
        if last is None or not _are_same(last.images, images):
            self.forget(tower)  # before another takes its memory
            last = self._last[tower] = _Look(tuple(images), look(), self._shared[tower])
        seen: T = last.seen
        last.awaited_by -= 1
        if not last.awaited_by:
            self.forget(tower)
        return seen

    def forget(self, *towers: nn.Module) -> bool:
        """Let go of what these towers saw, or all; whether there was anything."""
        known = self._last.keys() & (towers or self._last.keys())
        for tower in known:
            del self._last[tower]
        return bool(known)


def _are_same(some: Sequence[object], others: Sequence[object]) -> bool:
    return len(some) == len(others) and all(one is other for one, other in zip(some, others, strict=True))
