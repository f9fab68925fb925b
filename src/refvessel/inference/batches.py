"""Which images go through the model together, and how many."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from math import ceil

import psutil
import torch

from refvessel.inference.devices import require_working_gpu
from refvessel.inference.failures import Failure, attempted
from refvessel.inference.plan import ImageTask

_ON_THE_CPU = 4  # where larger batches gain nothing
_MOST_IMAGES = 64  # from where on larger batches gain nothing on a GPU
_IMAGES_WORTH_LOADING_FOR = 16  # per batch: with fewer, what models share is not worth it
_SHARE_OF_FREE_MEMORY = 0.8  # the rest is for what the allocator cannot reuse
# Bytes that the allocator held at most of an image beyond the first, of each of its tiles, and of each expression
# beyond its first: InternVL3-8B's shapes in bfloat16 on an H200, images of 512 to 1600 pixels, 8 and 32 of them.
_OF_AN_IMAGE, _OF_A_TILE, _OF_AN_EXPRESSION = 410 << 20, 81 << 20, 46 << 20
# Of an image that a further model has encoded and that waits: keys and values, SAM2's features (by their shapes).
_WAITING = 32 << 20
_WEIGHTS = 16.4e9  # bytes that the weights took there; of larger ones, an image takes more in proportion
_MARGIN = 1.5  # for other shapes; where it is too little, batches shrink


def form_batches(tasks: Sequence[ImageTask], size: int) -> list[list[ImageTask]]:
    """Batches of up to `size` images of about equal numbers of tiles: equally long for the language model."""
    by_tiles = sorted(tasks, key=lambda task: task.tiles)  # stable: else in the order given
    return [
        alike[start : start + size]
        for alike in (list(group) for _, group in groupby(by_tiles, key=lambda task: ceil(task.tiles)))
        for start in range(0, len(alike), size)
    ]


def fitting_batch_size(
    tasks: Sequence[ImageTask],
    attempt: Callable[[list[ImageTask]], object],
    device: torch.device,
    *,
    flips: bool,
    models: int = 1,
) -> int:
    """How many images fit into the memory that a loaded model leaves free on the job's GPUs, 64 at most.

    Where that is far more than so many images were seen to take, the answer is 64; else it is found by running the
    costliest image alone and twice at once, and seeing what the second one takes.

    Args:
        tasks: what will be segmented.
        attempt: takes the memory that a batch of so many images does; where even that fails, the answer is 1.
        device: where the model is; on the CPU the answer is 4.
        flips: whether an image is segmented with its flips, of which it is not known what they take.
        models: that are loaded, all of one size, and take turns.
    """
    if device.type != "cuda":
        return _ON_THE_CPU
    costliest = max(tasks, key=lambda task: task.cost)
    if torch.cuda.device_count() == 1 and not flips:
        of_image = bytes_of_image(costliest, torch.cuda.memory_allocated() // models)
        most = min(_MOST_IMAGES, len(tasks)) * (of_image + (models - 1) * _WAITING * _MARGIN)
        if most <= _free_memory(0) * _SHARE_OF_FREE_MEMORY:
            return _MOST_IMAGES
    peaks = attempted(lambda: [_peaks(partial(attempt, [costliest] * count)) for count in (1, 2)])
    if isinstance(peaks, Failure):  # told when its turn comes
        require_working_gpu()
        return 1
    alone, together = peaks
    fitting = [
        _free_memory(gpu) * _SHARE_OF_FREE_MEMORY / max(two - one, 1)
        for gpu, (one, two) in enumerate(zip(alone, together, strict=True))
    ]
    return int(max(1, min(_MOST_IMAGES, *fitting)))


def has_room_for_another(tasks: Sequence[ImageTask], weights: int, device: torch.device) -> bool:
    """Whether another model finds room, so that batches need not be small.

    Args:
        tasks: what will be segmented.
        weights: bytes that one of the models takes.
        device: where the models are.
    """
    if device.type != "cuda":
        return weights * 2 <= psutil.virtual_memory().available
    costliest = max(tasks, key=lambda task: task.cost)
    images = min(_IMAGES_WORTH_LOADING_FOR, len(tasks)) * bytes_of_image(costliest, weights)
    return weights + images <= _free_memory(0) * _SHARE_OF_FREE_MEMORY


def bytes_of_image(task: ImageTask, weights: int) -> float:
    """What an image takes of a GPU's memory at most, beside a model whose weights take so many bytes."""
    measured = _OF_AN_IMAGE + task.tiles * _OF_A_TILE + (len(task.expressions) - 1) * _OF_AN_EXPRESSION
    return measured * max(1.0, weights / _WEIGHTS) * _MARGIN


def has_room(task: ImageTask, images: int) -> bool:
    """Whether the first GPU has room for another process with a batch of so many images such as this one."""
    free, _ = torch.cuda.mem_get_info(0)  # what this process holds for itself is not free to others
    return images * bytes_of_image(task, 0) <= free * _SHARE_OF_FREE_MEMORY


def _peaks(run: Callable[[], object]) -> list[int]:
    """The most bytes that are held of each GPU at once while it runs, by the pools of all its streams."""
    gpus = range(torch.cuda.device_count())
    torch.cuda.empty_cache()
    for gpu in gpus:
        torch.cuda.reset_peak_memory_stats(gpu)
    run()
    return [torch.cuda.max_memory_reserved(gpu) for gpu in gpus]


def _free_memory(gpu: int) -> int:
    """Bytes that neither a tensor here nor another process holds."""
    free, _ = torch.cuda.mem_get_info(gpu)
    return free + torch.cuda.memory_reserved(gpu) - torch.cuda.memory_allocated(gpu)
