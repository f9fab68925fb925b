"""A GPU made ready while a model is loaded: what a first batch begins, builds or loads is there before it.

A model of the same shapes, of few layers and without weights that mean anything, segments a batch like those to
come: Triton builds its kernels, the libraries of matmuls and convolutions are begun, and kernels reach the GPU.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Thread

import torch

from refvessel.inference.batches import has_room_for_another
from refvessel.inference.devices import choose_dtype
from refvessel.inference.failures import Failure, attempted
from refvessel.inference.plan import ImageTask
from refvessel.inference.preparing import LikeBatch, build_kernels, few_layers, rehearse
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.processing import Sa2VAProcessor
from refvessel.settings.inference_section import Inference

_IMAGES = 64  # as large batches have: libraries choose their kernels by the size of what is computed
_MODELS = 2  # beside which there is room for few layers and so few images


@contextmanager
def warmed_up(
    folder: Path,
    tasks: Sequence[ImageTask],
    prompts: Sequence[str],
    processor: Sa2VAProcessor,
    *,
    settings: Inference,
    device: torch.device,
) -> Iterator[None]:
    """Make a GPU ready beside the block, which ends when it is; nothing of it is held any more then.

    Nothing is done on the CPU, for a model that is compiled first or spread, and where memory might be short. What
    fails in it is not told: it fails again where it matters, and is told there.

    Args:
        folder: official Hugging Face folder of the model that is loaded in the block.
        tasks: what it will segment.
        prompts: what it is asked about the first of them.
        processor: the model's.
        settings: how it is run.
        device: where.
    """
    weights = sum(path.stat().st_size for path in Path(folder).glob("*.safetensors"))
    whole = settings.weights_memory(device.type) is None
    if (
        device.type != "cuda"
        or settings.compiled == "yes"
        or not whole
        or len(tasks) < _IMAGES
        or not has_room_for_another(tasks, _MODELS * weights, device)
    ):
        yield
        return
    first = tasks[0].expressions[0]
    like = LikeBatch(
        model=str(folder),
        size=(first.height, first.width),
        prompts=tuple(prompts),
        images=_IMAGES,
        dtype=str(choose_dtype(settings.dtype, device)).removeprefix("torch."),
        draft=settings.draft,
        language_weights=settings.language_weights,
    )
    with rehearsed(like, processor, device):
        yield


@contextmanager
def rehearsed(like: LikeBatch, processor: Sa2VAProcessor, device: torch.device) -> Iterator[None]:
    """Rehearse beside the block, which ends when that has."""
    # Made here, since the precision of new tensors is the process's.
    model = attempted(lambda: few_layers(like, device))
    if isinstance(model, Failure):
        yield
        return
    thread = Thread(target=attempted, args=[partial(_rehearse, model, processor, like)], daemon=True)
    del model  # the thread lets go of it at its end
    thread.start()
    try:
        yield
    finally:
        thread.join()
        if device.type == "cuda":
            torch.cuda.empty_cache()


def _rehearse(model: Sa2VAModel, processor: Sa2VAProcessor, like: LikeBatch) -> None:
    if model.device.type == "cuda":
        build_kernels(model, processor, like)
    rehearse(model, processor, like)
