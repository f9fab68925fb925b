"""Sequences through a model, side by side and frame by frame.

shown frames ---> language model ---> [SEG] of each expression ---> masks of the shown frames ---> memory
other frames ---> SAM2, onward from the first shown frame to the end, then back to the beginning

Frames come as a stream and are let go: the memory that is held does not depend on a sequence's length. Every
expression of every sequence in the group is an object; all objects go through memory attention together.

Official propagation: the shown frames are the prompted ones, the decoder is the model's own throughout.

Sa2VA-i (Nekrasov et al. 2025, arXiv 2509.19082, code at github.com/kumuji/sa2va-i): Sa2VA trains the mask decoder
on single frames without memory, and leaves the memory as SAM2 had it, so that neither fits the other at inference.
There the masks of the shown frames come from the model's own decoder, without memory, are upsampled and
thresholded, and handed to SAM2 as masks that a user drew (`add_new_mask`); all the rest, the decoder with its
high-resolution features and the memory, is SAM2's own, as its checkpoint was before fine-tuning; so is what SAM2
does where its score says that the object is absent: the mask is empty. Shown are frames in uniform steps.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby
from typing import cast

import numpy as np
import torch

from refvessel.errors import UserError
from refvessel.inference.frame_reading import Frames, ShownFrames
from refvessel.inference.official_masks import official_masks
from refvessel.inference.segmenter import LARGEST_LOGIT, Segmenter
from refvessel.inference.sequence_plan import SequenceGroup
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.transfer import Arriving, to_device
from refvessel.model.video_memory import FrameFeatures, FrameMasks, Remembered, Tracking, VideoMemory
from refvessel.rle import RLE, encode

_THREADS = 4  # that collect masks
_FRAMES_UNDER_WAY = 32  # whose masks are not collected yet


@dataclass(frozen=True)
class FrameMask:
    """The mask of one object in one frame.

    mask: at the frame's size.
    score: SAM2's predicted IoU of it, the best of the candidates.
    lead: by how much the score exceeds that of the second-best candidate; None of a mask that has none.
    logits: float16 (size/4, size/4), what the mask was upsampled and thresholded from; None where they are not
        wanted, or were handed on.
    """

    mask: RLE
    score: float
    lead: float | None
    logits: np.ndarray | None


# Takes the logits of one mask: of which sequence, in answer to which prompt, at which place.
TakeLogits = Callable[[int, int, int, np.ndarray], None]


@dataclass(frozen=True)
class SequenceAnswer:
    """The answer to one prompt about one sequence.

    answer: generated text, special tokens included.
    drafted: whether the draft was the answer.
    masks: of the first [SEG], by the place of each frame; empty where the answer has none.
    """

    answer: str
    drafted: bool
    masks: dict[int, FrameMask]


@dataclass(frozen=True)
class _Objects:
    """What is tracked: one object per prompt whose answer has a [SEG].

    owners: the sequence of each, by its place in the group, in ascending order.
    prompts: the prompt of each, by its place among those about its sequence.
    sizes: height and width of each one's frames.
    """

    owners: list[int]
    prompts: list[int]
    sizes: list[tuple[int, int]]

    def among(self, sequences: int) -> int:
        """How many of the objects are of the first so many sequences."""
        return sum(owner < sequences for owner in self.owners)

    def sequences(self, among: int) -> list[int]:
        """Those of the first so many sequences that have objects."""
        return sorted({owner for owner in self.owners if owner < among})


class SequenceSegmenter:
    """Takes groups of sequences through a model.

    Args:
        model: in its dtype, in evaluation mode.
        segmenter: of the same model; it answers the prompts.
        original: SAM2 as it was before fine-tuning, which propagates as Sa2VA-i does; None: the official way.
        encoded_ahead: frames that SAM2 encodes at once.
        keep_logits: whether the masks' logits are wanted.
    """

    def __init__(
        self,
        model: Sa2VAModel,
        segmenter: Segmenter,
        *,
        original: VideoMemory | None,
        encoded_ahead: int,
        keep_logits: bool,
    ) -> None:
        self.encoded_ahead = encoded_ahead
        self._model = model
        self._segmenter = segmenter
        self._own = VideoMemory(model.grounding_encoder, model.image_encoder)
        self._original = original
        self._keep_logits = keep_logits

    @torch.inference_mode()
    def segment(
        self,
        group: SequenceGroup,
        prompts: Sequence[Sequence[str]],
        frames: Frames,
        take_logits: TakeLogits | None = None,
    ) -> list[list[SequenceAnswer]]:
        """The answers to the prompts about each sequence.

        Args:
            group: the sequences.
            prompts: about each of them.
            frames: of the group, see `read_groups`.
            take_logits: is handed the logits, frame by frame; None: they stay with the masks.

        Raises:
            UserError: for a frame that does not open.
            ArithmeticError: where logits are not finite.
        """
        shown = [cast("ShownFrames", _opened(frames)) for _ in group.tasks]
        answers = self._segmenter.answer([each.view for each in shown], prompts)
        places = [
            (owner, number)
            for owner, mine in enumerate(answers)
            for number, answer in enumerate(mine)
            if len(answer.seg_states)
        ]
        owners = [owner for owner, _ in places]
        sizes = [(group.tasks[owner].files.height, group.tasks[owner].files.width) for owner in owners]
        objects = _Objects(owners, [number for _, number in places], sizes)
        of_objects: list[dict[int, FrameMask]] = [{} for _ in owners]
        if owners:
            states = torch.stack(
                [each.seg_states[0] for mine in answers for each in mine if len(each.seg_states)]
            )
            with ThreadPoolExecutor(_THREADS) as pool:
                under_way: deque[tuple[int, Future[list[FrameMask]]]] = deque()
                for place, masks in self._masks(group, objects, states, shown, frames):
                    under_way.append((place, pool.submit(_collected, self._arriving(masks, objects))))
                    if len(under_way) > _FRAMES_UNDER_WAY:
                        _take(under_way, objects, of_objects, take_logits)
                while under_way:
                    _take(under_way, objects, of_objects, take_logits)
        of_each = iter(of_objects)
        return [
            [
                SequenceAnswer(
                    self._segmenter.text_of(answer),
                    answer.drafted,
                    next(of_each) if len(answer.seg_states) else {},
                )
                for answer in mine
            ]
            for mine in answers
        ]

    def _masks(
        self,
        group: SequenceGroup,
        objects: _Objects,
        states: torch.Tensor,
        shown: Sequence[ShownFrames],
        frames: Frames,
    ) -> Iterator[tuple[int, FrameMasks]]:
        """The masks of one frame after the other, of the objects whose sequences have it; and its place."""
        prompts = self._model.text_hidden_fcs(states.to(self._model.grounding_dtype))
        prompted: dict[int, Remembered] = {}
        wholes = zip(*(each.wholes for each in shown), strict=True)
        for place, images in zip(group.shown, wholes, strict=True):
            masks, features = self._prompted(images, objects, prompts)
            if group.reads:  # else no frame looks back
                prompted[place] = self._propagating.remember(features, masks)
            yield place, masks
        if not group.reads:
            return
        tracking = Tracking(self._propagating, prompted)
        there = len(objects.owners)
        for steps, backward in ((group.onward, False), (group.back, True)):
            for place, sequences, features in self._encoded(steps, objects, frames):
                if (
                    objects.among(sequences) < there
                ):  # some sequences have ended: the way back begins with all
                    there = objects.among(sequences)
                    tracking.keep(slice(there))
                if there:
                    yield place, tracking.step(place, features, backward=backward)

    @property
    def _propagating(self) -> VideoMemory:
        return self._original or self._own

    def _prompted(
        self, images: Sequence[torch.Tensor], objects: _Objects, prompts: torch.Tensor
    ) -> tuple[FrameMasks, FrameFeatures]:
        """The masks of a shown frame, and the features that they are remembered with, one per object."""
        with_objects = objects.sequences(len(images))
        pixels = self._pixels([images[sequence] for sequence in with_objects])
        index = _index([with_objects.index(owner) for owner in objects.owners], pixels.device)
        features = self._own.encode(pixels).of(index)
        masks = self._own.prompted(features, prompts)
        if self._original is None:
            return masks, features
        features = self._original.encode(pixels).of(index)
        drawn = _drawn(masks.logits, objects)
        given = [
            self._original.given(features.of(slice(n, n + 1)), mask[None]) for n, mask in enumerate(drawn)
        ]
        return _joined(given), features

    def _encoded(
        self, steps: Sequence[tuple[int, int]], objects: _Objects, frames: Frames
    ) -> Iterator[tuple[int, int, FrameFeatures]]:
        """Place, number of sequences that have it, and features of its frames, one per object."""
        for some in _chunks(steps, self.encoded_ahead):
            wholes, owned = [], []
            for _, sequences in some:
                images = [cast("torch.Tensor", _opened(frames)) for _ in range(sequences)]
                with_objects = objects.sequences(sequences)
                wholes += [images[sequence] for sequence in with_objects]
                owned.append(with_objects)
            if not wholes:
                continue
            pixels = self._pixels(wholes)
            encoded = self._propagating.encode(pixels)
            start = 0
            for (place, sequences), with_objects in zip(some, owned, strict=True):
                mine = objects.owners[: objects.among(sequences)]
                index = _index([start + with_objects.index(owner) for owner in mine], pixels.device)
                start += len(with_objects)
                yield place, sequences, encoded.of(index)

    def _pixels(self, wholes: Sequence[torch.Tensor]) -> torch.Tensor:
        """What SAM2 takes, normalised and on its device: (frames, 3, size, size)."""
        return self._model.pixels([whole[None] for whole in wholes], self._model.grounding_dtype)

    def _arriving(self, masks: FrameMasks, objects: _Objects) -> tuple[Arriving, bool]:
        """The masks of a frame at its size, transposed, and all that is noted of them, on the way to the host."""
        drawn = [mask.T.contiguous() for mask in _drawn(masks.logits, objects)]
        finite = torch.isfinite(masks.logits).all() & torch.isfinite(masks.iou_scores).all()
        halves = [masks.logits.clamp(-LARGEST_LOGIT, LARGEST_LOGIT).half()] if self._keep_logits else []
        return Arriving(finite, masks.iou_scores, *halves, *drawn), self._keep_logits


def _drawn(logits: torch.Tensor, objects: _Objects) -> list[torch.Tensor]:
    """The masks of the first objects, each bool (height, width) of its frames."""
    drawn: list[torch.Tensor] = []
    for (height, width), alike in groupby(objects.sizes[: len(logits)]):
        count = len(list(alike))
        some = logits[len(drawn) : len(drawn) + count]
        drawn += official_masks(some, height=height, width=width).unbind()
    return drawn


def _opened(frames: Frames) -> ShownFrames | torch.Tensor:
    frame = next(frames)
    if isinstance(frame, UserError):
        raise frame
    return frame


def _take(
    under_way: deque[tuple[int, Future[list[FrameMask]]]],
    objects: _Objects,
    of_objects: Sequence[dict[int, FrameMask]],
    take_logits: TakeLogits | None,
) -> None:
    """Wait for the masks of the frame that is longest under way."""
    place, collected = under_way.popleft()
    for number, mask in enumerate(collected.result()):
        if take_logits is not None and mask.logits is not None:
            take_logits(objects.owners[number], objects.prompts[number], place, mask.logits)
            of_objects[number][place] = replace(mask, logits=None)
        else:
            of_objects[number][place] = mask


def _collected(arriving: tuple[Arriving, bool]) -> list[FrameMask]:
    """The masks of the first objects in one frame, once they are on the host."""
    tensors, with_logits = arriving
    finite, scores, *rest = tensors.wait()
    if not finite:
        raise ArithmeticError("the mask logits are not finite")
    halves = rest.pop(0).numpy() if with_logits else [None] * len(rest)
    ranked = scores.sort(-1, descending=True).values
    return [
        FrameMask(
            mask=encode(drawn.T.numpy()),
            score=float(best[0]),
            lead=float(best[0] - best[1]) if len(best) > 1 else None,
            logits=cast("np.ndarray | None", logits),
        )
        for drawn, best, logits in zip(rest, ranked, halves, strict=True)
    ]


def _joined(masks: Sequence[FrameMasks]) -> FrameMasks:
    return FrameMasks(
        torch.cat([each.logits for each in masks]),
        torch.cat([each.iou_scores for each in masks]),
        torch.cat([each.pointer for each in masks]),
    )


def _index(places: Sequence[int], device: torch.device) -> torch.Tensor:
    return to_device(torch.tensor(places, dtype=torch.long), device)


def _chunks(steps: Sequence[tuple[int, int]], frames: int) -> Iterable[list[tuple[int, int]]]:
    """Steps in a row that have up to so many frames together; each (place, frames)."""
    some: list[tuple[int, int]] = []
    for step in steps:
        if some and sum(count for _, count in [*some, step]) > frames:
            yield some
            some = []
        some.append(step)
    if some:
        yield some
