"""Frames of sequences, read and resized by processes of their own, some ahead of the model."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import torch
from PIL import Image
from torch.utils.data import Dataset

from refvessel.dataset.tree.loader import read_pixels
from refvessel.errors import UserError
from refvessel.inference.reading import read_ahead
from refvessel.inference.sequence_plan import SequenceGroup, SequenceTask
from refvessel.inference.shown_frames import contrast_frames, shown_without_pixels, vessel_signal
from refvessel.model.image_tokens import ImageView
from refvessel.model.processing import Sa2VAProcessor
from refvessel.settings.video_section import Video

T = TypeVar("T")


@dataclass(frozen=True)
class ShownFrames:
    """The frames of a sequence that the language model sees.

    view: as it sees them.
    wholes: each as SAM2 takes it, uint8 (channels, size, size).
    """

    view: ImageView
    wholes: tuple[torch.Tensor, ...]

    def pin_memory(self) -> "ShownFrames":
        """The same in pinned memory, as PyTorch's loader asks for it."""
        return ShownFrames(self.view.pin_memory(), tuple(each.pin_memory() for each in self.wholes))


# Of a group: the shown frames of each sequence, then each other frame as SAM2 takes it; or why it does not open.
Frames = Iterator[ShownFrames | torch.Tensor | UserError]


class _Each(Dataset[T | UserError], Generic[T]):
    """What is made of frames; in the place of one that does not open, the error."""

    def __init__(self, makers: Sequence[Callable[[], T]]) -> None:
        self._makers = makers

    def __len__(self) -> int:
        return len(self._makers)

    def __getitem__(self, index: int) -> T | UserError:
        try:
            return self._makers[index]()
        except (UserError, MemoryError) as error:
            return UserError(str(error))


@contextmanager
def read_groups(
    groups: Sequence[SequenceGroup], processor: Sa2VAProcessor, *, readers: int, pinned: bool
) -> Iterator[Frames]:
    """What is read of groups, one group after the other: its shown frames, then others in the order of `reads`.

    Args:
        groups: what is segmented.
        processor: the model's processor.
        readers: processes that read; with none, frames are read when their turn comes.
        pinned: whether frames are put into pinned memory, for a GPU.
    """
    makers: list[Callable[[], ShownFrames | torch.Tensor]] = []
    for group in groups:
        makers += [partial(_shown, task, group.shown, processor) for task in group.tasks]
        makers += [partial(_whole, task, place, processor) for task, place in group.reads]
    frames = _Each(makers)
    if not readers:
        yield (frames[index] for index in range(len(frames)))
        return
    with read_ahead(frames, len(frames), readers=readers, pinned=pinned) as images:
        yield images


def choose_frames(tasks: Sequence[SequenceTask], video: Video, *, readers: int) -> dict[str, list[int]]:
    """The places of the frames that the language model sees of each sequence, by its name.

    Args:
        tasks: the sequences.
        video: says which frames, and how many.
        readers: processes that read, where frames have to be looked at.

    A sequence with a frame that does not open gets its first frames: it is told when that frame's turn comes.
    """
    chosen = {task.name: shown_without_pixels(video.shown, task.length, video.frames) for task in tasks}
    known = {name: places for name, places in chosen.items() if places is not None}
    if len(known) == len(tasks):
        return known
    makers = [partial(_signal, task, place) for task in tasks for place in range(task.length)]
    signals: _Each[float] = _Each(makers)
    with read_ahead(signals, len(signals), readers=readers, pinned=False) as read:
        for task in tasks:
            mine = [next(read) for _ in range(task.length)]
            opened = [each for each in mine if not isinstance(each, UserError)]
            known[task.name] = (
                contrast_frames(opened, video.frames)
                if len(opened) == task.length
                else list(range(min(task.length, video.frames)))
            )
    return known


def _shown(task: SequenceTask, places: Sequence[int], processor: Sa2VAProcessor) -> ShownFrames:
    images = [_pixels(task, place) for place in places]
    return ShownFrames(processor.view_frames(images), tuple(processor.whole(image) for image in images))


def _whole(task: SequenceTask, place: int, processor: Sa2VAProcessor) -> torch.Tensor:
    return processor.whole(_pixels(task, place))


def _signal(task: SequenceTask, place: int) -> float:
    return vessel_signal(_pixels(task, place))


def _pixels(task: SequenceTask, place: int) -> Image.Image:
    """A frame; raises UserError where it does not open, or was replaced by one of another size."""
    path = task.files.paths[place]
    image = read_pixels(path)
    if image.size != (task.files.width, task.files.height):
        raise UserError(
            f"{path} has {image.width} x {image.height} pixels, but its sequence has {task.files.width} x "
            f"{task.files.height}; restore the frame."
        )
    return image
