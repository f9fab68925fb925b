"""NaN and infinity in the layers, in their merge or in its rounding, found before anything is written."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from tqdm import tqdm

from refvessel.checkpoint.layers import Layer
from refvessel.checkpoint.merge import Merge
from refvessel.checkpoint.shards import cancelled_on_error, one_thread_an_operation
from refvessel.checkpoint.tensors import LazyTensor, row_blocks
from refvessel.cores import usable_cores
from refvessel.errors import UserError

_Item = TypeVar("_Item")


def check_finite(layers: Sequence[Layer], merges: Mapping[str, Merge]) -> None:
    """Raise UserError, by name, where a layer holds a number that is not finite, or the result would.

    Every tensor of every layer is read once, in the order in which the values lie in the files. What is merged is
    computed twice only where its size could come near the largest number of its dtype.
    """
    stored = [
        (tensor, str(layer.source), layer.names[address])
        for layer in layers
        for address, tensor in layer.tensors.items()
    ]
    stored.sort(key=lambda item: item[0].position)
    size = sum(math.prod(tensor.shape) * tensor.dtype.itemsize for tensor, *_ in stored)
    largest: dict[LazyTensor, float] = {}
    with tqdm(total=size, unit="B", unit_scale=True, desc="check") as progress:

        def check(item: tuple[LazyTensor, str, str]) -> None:
            tensor, holder, name = item
            blocks = (tensor.rows(*rows) for rows in row_blocks(tensor.shape))
            largest[tensor] = _largest(blocks, holder, name, progress.update)

        _in_threads(check, stored)

    def check_merge(item: tuple[str, Merge]) -> None:
        name, merge = item
        if merge.bound(largest[merge.source.value]) > torch.finfo(merge.layout.dtype).max:
            dtype = str(merge.layout.dtype).removeprefix("torch.")
            _largest(merge.blocks(), "The result", f"the merged {name} in {dtype}")

    _in_threads(check_merge, [*merges.items()])


def largest_magnitude(block: torch.Tensor) -> float:
    """The largest |x| of a block, NaN where it holds one; 0 of an empty one."""
    if not block.numel():
        return 0.0
    least, greatest = (bound.item() for bound in torch.aminmax(block))  # both are NaN where any element is
    return math.nan if math.isnan(least) else max(-least, greatest)


def not_finite(holder: str, name: str, found: float) -> UserError:
    """The error about a number that is not finite, in a tensor of a file or folder."""
    value = "NaN" if math.isnan(found) else "an infinity"
    return UserError(
        f"{holder} holds {value} in {name}; training diverged or the file is damaged: give another."
    )


def _largest(
    blocks: Iterable[torch.Tensor],
    holder: str,
    name: str,
    watch: Callable[[int], object] | None = None,
) -> float:
    """The largest magnitude of a tensor; raises UserError unless it is finite."""
    largest = 0.0
    for block in blocks:
        found = largest_magnitude(block)
        if not math.isfinite(found):
            raise not_finite(holder, name, found)
        largest = max(largest, found)
        if watch:
            watch(block.nbytes)
    return largest


def _in_threads(function: Callable[[_Item], None], items: Sequence[_Item]) -> None:
    with (
        cancelled_on_error(ThreadPoolExecutor(usable_cores())) as pool,
        one_thread_an_operation(),
    ):
        for _ in pool.map(function, items):
            pass
