"""A job's model: loaded whole or spread over what the job may use, and gone with all it left on the disk."""

import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch

from refvessel.inference.devices import memory_for_weights
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.placement import Spreading


@contextmanager
def loaded_model(
    folder: Path,
    shard: Path,
    *,
    dtype: torch.dtype,
    device: torch.device,
    stated: Mapping[int | str, int] | None,
    language_weights: str | None,
) -> Iterator[Sa2VAModel]:
    """Load the model of a job that writes `shard`, beside which lies what is offloaded to the disk meanwhile.

    Args:
        folder: official Hugging Face folder.
        shard: the job's output.
        dtype: as `Sa2VAModel.load` takes it.
        device: of the whole model, or the kind of device that it is spread over.
        stated: as `stated_memory` gives it; None keeps the model whole.
        language_weights: as `Sa2VAModel.load` takes it.

    Raises UserError where the model does not fit or is none.
    """
    logging.getLogger("accelerate").setLevel(logging.ERROR)  # what is wrong is told by an error, once
    with ExitStack() as held:
        spreading = None
        if stated is not None:
            offloaded = held.enter_context(_empty_folder(shard.with_name(f".{shard.name}.offload")))
            spreading = Spreading(memory_for_weights(device, stated), offloaded)
        yield Sa2VAModel.load(
            folder, dtype=dtype, device=device, spreading=spreading, language_weights=language_weights
        )


@contextmanager
def _empty_folder(path: Path) -> Iterator[Path]:
    """A folder for as long as the block runs; one that a killed job left is emptied."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path)
