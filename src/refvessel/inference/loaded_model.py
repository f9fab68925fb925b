"""A job's model: loaded whole or spread over what the job may use, and gone with all it left on the disk."""

import logging
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import torch
from transformers.utils import logging as transformers_logging

from refvessel.inference.batches import has_room_for_another
from refvessel.inference.devices import choose_dtype, describe_device, memory_for_weights
from refvessel.inference.plan import ImageTask
from refvessel.jobs.gpus import claimed_gpus
from refvessel.jobs.progress import LOADING, WAITING, Reporter
from refvessel.model.compilation import fuse_blocks
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.sharing import share_equal
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
    with device_at_work(settings, device, lambda: reporter.enter(WAITING)):
        reporter.enter(LOADING, describe_device(device))
        with _loaded(folder, shard, settings, device) as model:
            yield model


@contextmanager
def device_at_work(settings: Inference, device: torch.device, waiting: Callable[[], None]) -> Iterator[None]:
    """What a job's models run on, which the job holds until the block ends.

    Args:
        settings: how models are run.
        device: where.
        waiting: is called where the job waits for a GPU.
    """
    # What is wrong with a model is told by an error, once.
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    if device.type == "cpu" and settings.threads:
        torch.set_num_threads(settings.threads)
    with ExitStack() as held:
        if device.type == "cuda":
            held.enter_context(claimed_gpus(settings.gpus_per_job, waiting))
        yield


@contextmanager
def loaded_series(
    folders: Mapping[Path, Path], *, settings: Inference, device: torch.device, tasks: Sequence[ImageTask]
) -> Iterator[list[Sa2VAModel]]:
    """The first of the models of a job, as many as find room together; what is equal in them is there once.

    Args:
        folders: official Hugging Face folder -> the shard of its model.
        settings: how the models are run.
        device: where.
        tasks: what will be segmented.

    Raises UserError where not even the first fits, or one is none.
    """
    with ExitStack() as held:
        models: list[Sa2VAModel] = []
        weights = shared = 0
        for folder, shard in folders.items():
            if models and not has_room_for_another(tasks, weights, device):
                break
            model = held.enter_context(_loaded(folder, shard, settings, device))
            weights = weights or model.get_memory_footprint()
            shared += share_equal(model, models)
            models.append(model)
        if len(models) > 1:
            kept = weights * len(models) - shared
            print(
                f"{len(models)} models at once: {kept / 1e9:.2f} GB of weights, without {shared / 1e9:.2f} GB "
                "that are the same in several.",
                file=sys.stderr,
            )
        yield models


def _loaded(
    folder: Path, shard: Path, settings: Inference, device: torch.device
) -> AbstractContextManager[Sa2VAModel]:
    return loaded_model(
        folder,
        shard,
        dtype=choose_dtype(settings.dtype, device),
        device=device,
        stated=settings.weights_memory(device.type),
        language_weights=settings.language_weights,
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
        model = Sa2VAModel.load(
            folder, dtype=dtype, device=device, spreading=spreading, language_weights=language_weights
        )
        if device.type == "cuda" and spreading is None:
            fuse_blocks(model)
        yield model


@contextmanager
def _empty_folder(path: Path) -> Iterator[Path]:
    """A folder for as long as the block runs; one that a killed job left is emptied."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path)
