"""A job's model: loaded whole or spread over what the job may use, and gone with all it left on the disk."""

import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from transformers.utils import logging as transformers_logging

from refvessel.inference.devices import choose_dtype, describe_device, memory_for_weights
from refvessel.jobs.gpus import claimed_gpus
from refvessel.jobs.progress import LOADING, WAITING, Reporter
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.spreading import Spreading
from refvessel.settings.inference_section import Inference


@contextmanager
def model_at_work(
    folder: Path, shard: Path, *, settings: Inference, device: torch.device, reporter: Reporter
) -> Iterator[Sa2VAModel]:
    """The model of a job that writes `shard`, on devices that the job holds until the block ends.

    Args:
        folder: official Hugging Face folder.
        shard: the job's output.
        settings: how the model is run.
        device: where.
        reporter: is told that the job waits and loads.

    Raises UserError where the model does not fit or is none.
    """
    # What is wrong with a model is told by an error, once.
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    if device.type == "cpu" and settings.threads:
        torch.set_num_threads(settings.threads)
    with ExitStack() as held:
        if device.type == "cuda":
            held.enter_context(claimed_gpus(settings.gpus_per_job, lambda: reporter.enter(WAITING)))
        reporter.enter(LOADING, describe_device(device))
        yield held.enter_context(
            loaded_model(
                folder,
                shard,
                dtype=choose_dtype(settings.dtype, device),
                device=device,
                stated=settings.weights_memory(device.type),
                language_weights=settings.language_weights,
            )
        )


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
