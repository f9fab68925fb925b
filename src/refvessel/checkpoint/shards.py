"""The weights of an official folder: safetensors shards and their index."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import torch
from tqdm import tqdm

from refvessel.checkpoint.merge import Merge
from refvessel.checkpoint.safetensors_file import (
    Layout,
    create_safetensors,
    header,
    write_tensor,
)
from refvessel.cores import usable_cores

INDEX_NAME = "model.safetensors.index.json"
MAX_SHARD_BYTES = 5_000_000_000

Shards = Mapping[str, Mapping[str, Layout]]  # file name -> tensor name -> layout


def plan_shards(layouts: Mapping[str, Layout], limit: int = MAX_SHARD_BYTES) -> Shards:
    """Spread tensors, in the given order, over files of at most `limit` bytes of data, or of one tensor."""
    shards: list[dict[str, Layout]] = [{}]
    size = 0
    for name, layout in layouts.items():
        if shards[-1] and size + layout.bytes > limit:
            shards.append({})
            size = 0
        shards[-1][name] = layout
        size += layout.bytes
    if len(shards) == 1:
        return {"model.safetensors": shards[0]}
    return {
        f"model-{number:05}-of-{len(shards):05}.safetensors": shard for number, shard in enumerate(shards, 1)
    }


def shards_index(shards: Shards) -> dict[str, Any]:
    """The content of `model.safetensors.index.json`."""
    weight_map = {tensor: name for name, shard in shards.items() for tensor in shard}
    return {"metadata": {"total_size": _data_bytes(shards)}, "weight_map": weight_map}


def shards_bytes(shards: Shards) -> int:
    """The exact size of all files together."""
    return _data_bytes(shards) + sum(len(header(shard)) for shard in shards.values())


def write_shards(folder: Path, shards: Shards, merges: Mapping[str, Merge]) -> dict[str, str]:
    """Stream every tensor to its file, as many at a time as there are cores, with a progress bar on stderr.

    Tensors are taken in the order in which their values lie in the inputs: disks read fastest from front to back.
    Returns the SHA-256 of each tensor's bytes by name.
    """
    places = {
        tensor: (folder / name, offset)
        for name, shard in shards.items()
        for tensor, offset in create_safetensors(folder / name, shard).items()
    }

    def write(tensor: str) -> str:
        return write_tensor(*places[tensor], _watched(merges[tensor].blocks(), progress))

    with (
        tqdm(total=_data_bytes(shards), unit="B", unit_scale=True, desc="convert") as progress,
        cancelled_on_error(ThreadPoolExecutor(usable_cores())) as pool,
        one_thread_an_operation(),  # every core is busy with a tensor of its own
    ):
        order = sorted(places, key=lambda tensor: merges[tensor].source.value.position)
        return dict(zip(order, pool.map(write, order), strict=True))


@contextmanager
def one_thread_an_operation() -> Iterator[None]:
    """PyTorch computes each operation on one core while the block runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def cancelled_on_error(pool: Executor) -> Iterator[Executor]:
    """The pool as a context manager that does not start what is still waiting once something has failed."""
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _data_bytes(shards: Shards) -> int:
    return sum(layout.bytes for shard in shards.values() for layout in shard.values())


def _watched(blocks: Iterator[torch.Tensor], progress: "tqdm[NoReturn]") -> Iterator[torch.Tensor]:
    for block in blocks:
        yield block
        progress.update(block.nbytes)
