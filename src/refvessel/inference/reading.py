"""Images read and resized by processes of their own, some ahead of the model.

Decoding and resizing take longer than a GPU takes for the rest, and would hold Python's lock while the model is
launched. The processes are forked, and use no GPU.
"""

import gc
import os
import signal
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from threading import Thread
from types import FrameType
from typing import TypeVar

from torch.utils.data import DataLoader, Dataset

from refvessel.cores import usable_cores
from refvessel.dataset.tree.loader import read_image
from refvessel.errors import UserError
from refvessel.inference.plan import ImageTask
from refvessel.model.processing import ProcessedImage, Sa2VAProcessor

_MOST_READERS = 16
_IMAGES_AHEAD = 4  # of each process
_SECONDS_OF_GRACE = 2.0
_READER_ENDED = "DataLoader worker (pid"  # PyTorch's words

T = TypeVar("T")


class _Images(Dataset[ProcessedImage | UserError]):
    """The images of tasks; in the place of one that does not open, the error."""

    def __init__(self, tasks: Sequence[ImageTask], processor: Sa2VAProcessor) -> None:
        self._tasks = tasks
        self._processor = processor

    def __len__(self) -> int:
        return len(self._tasks)

    def __getitem__(self, index: int) -> ProcessedImage | UserError:
        try:
            return self._processor.process_image(read_image(self._tasks[index].expressions[0]))
        except (UserError, MemoryError) as error:
            return UserError(str(error))


@contextmanager
def read_images(
    tasks: Sequence[ImageTask], processor: Sa2VAProcessor, *, readers: int, pinned: bool
) -> Iterator[Iterator[ProcessedImage | UserError]]:
    """The image of each task, in order, read from now on; the processes end where the block does.

    Args:
        tasks: what to read.
        processor: the model's processor.
        readers: processes that read; no more are used than there are cores, and 16 at most.
        pinned: whether the images are put into pinned memory, for a GPU.

    Raises UserError, in the block, where a reading process ended.
    """
    with read_ahead(_Images(tasks, processor), len(tasks), readers=readers, pinned=pinned) as images:
        yield images


@contextmanager
def read_ahead(items: Dataset[T], count: int, *, readers: int, pinned: bool) -> Iterator[Iterator[T]]:
    """The items that processes of their own make, in order; the processes end where the block does.

    Args:
        items: what makes each, by its number.
        count: of the items.
        readers: processes; no more are used than there are cores, and 16 at most.
        pinned: whether tensors are put into pinned memory, for a GPU.

    Raises UserError, in the block, where a process ended.
    """
    loader = DataLoader(
        items,
        batch_size=None,
        num_workers=min(readers, _MOST_READERS, usable_cores(), count),
        prefetch_factor=_IMAGES_AHEAD,
        multiprocessing_context="fork",
        worker_init_fn=_leave_signals_to_the_job,
        pin_memory=pinned,
    )
    with _kept_by_children():
        made = _each(iter(loader), count)
    try:
        with closing(made):
            yield made
    except RuntimeError as error:
        if not tells_of_a_reader(error):
            raise
        raise UserError(
            f"a process that reads images ended ({error}); give the job more memory, also of the shared kind "
            "(/dev/shm)."
        ) from None


def tells_of_a_reader(error: Exception) -> bool:
    """Whether an error is PyTorch's for a reading process that ended; its signal handler raises it anywhere."""
    return isinstance(error, RuntimeError) and _READER_ENDED in str(error)


@contextmanager
def _kept_by_children() -> Iterator[None]:
    """No process forked within frees an object that it inherits: one that frees a GPU's tensor is aborted."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _each(items: Iterator[T], count: int) -> Generator[T, None, None]:
    """The same; closed, it lets go of PyTorch's iterator, which ends the processes.

    That takes seconds beside a GPU's memory, so they are ended once the last of `count` items has come, while a
    model still computes.
    """
    ending = None
    try:
        for number in range(1, count + 1):
            item = next(items)
            if number == count:
                ending = Thread(target=next, args=(items, None), daemon=True)
                ending.start()
            yield item
    finally:
        if ending is not None:
            ending.join()


def _leave_signals_to_the_job(_worker: int) -> None:
    """A scheduler signals all processes of a job: what the readers read for is to end first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_soon)


def _end_soon(_number: int, _frame: FrameType | None) -> None:
    time.sleep(_SECONDS_OF_GRACE)
    os._exit(0)
