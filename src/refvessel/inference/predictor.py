"""Batches of images to prediction records: one for every expression, whatever goes wrong."""

import math
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from typing import TypeVar

import numpy as np
import torch
from PIL import Image

from refvessel.dataset.loader import open_image
from refvessel.dataset.tree import Expression
from refvessel.errors import UserError
from refvessel.inference.augmentation import segment_flipped
from refvessel.inference.plan import ImageTask
from refvessel.inference.records import FAILED, NO_SEG, OK, Prediction
from refvessel.inference.segmenter import Segmentation, Segmenter
from refvessel.masks import RLE, empty, encode, union
from refvessel.model.processing import ProcessedImage, Sa2VAProcessor

# What PyTorch says where its own class for it does not: of the CPU, of cuBLAS and cuDNN, of the driver.
_MEMORY_IS_SHORT = ("can't allocate memory", "ALLOC_FAILED", "out of memory")
_NO_LOGITS = np.zeros((0, 0, 0), np.float16)

# A record, and the logits of its masks: float16 (number of [SEG], size/4, size/4).
Predicted = tuple[Prediction, np.ndarray]

T = TypeVar("T")

_FAILURES = (UserError, ArithmeticError, RuntimeError, MemoryError)
_THREADS = min(16, os.cpu_count() or 1)
_BATCHES_READ, _BATCHES_BEGUN = 2, 1  # ahead of the one that is awaited


class BatchSize:
    """How many images go through the model at once: fewer after each time that memory was short, never more."""

    def __init__(self, images: int) -> None:
        self.images = images

    def did_not_fit(self, images: int) -> None:
        """So many images were too many."""
        self.images = max(1, min(self.images, images // 2))


class Predictor:
    """Runs a segmenter over batches of images, and finds out what in a failing batch fails.

    A batch that fails is tried again in halves, at last the expressions of one image apart; one that fails
    alone becomes a failed record with its error. Memory that is short also makes later batches smaller.

    Args:
        segmenter: the model.
        processor: the model's processor.
        question: the prompt, with `{phrase}`.
        batch_size: images that go through the model at once, at first.
        flips: whether the logits are averaged over an image and its flips.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        processor: Sa2VAProcessor,
        question: str,
        batch_size: int,
        *,
        flips: bool = False,
    ) -> None:
        self.batch_size = BatchSize(batch_size)
        self._segmenter = segmenter
        self._processor = processor
        self._question = question
        self._flips = flips

    def predict(self, batch: Sequence[ImageTask]) -> list[Predicted]:
        """A record of every expression, in order, and its logits."""
        size = self.batch_size.images
        pieces = [batch[start : start + size] for start in range(0, len(batch), size)]
        return list(chain.from_iterable(map(self._predict_piece, pieces)))

    def predict_all(self, batches: Iterable[Sequence[ImageTask]]) -> Iterator[list[Predicted]]:
        """The records of each batch, in order, while later ones are read and computed.

        Threads read images some batches ahead and encode masks; on a GPU a batch is launched before the masks of
        the one before have arrived. A batch in which anything fails is left to `predict`.
        """
        pool = ThreadPoolExecutor(_THREADS)
        try:
            read = ((batch, [pool.submit(self._read, task) for task in batch]) for batch in batches)
            begun = (
                (batch, self._begin(batch, images, pool)) for batch, images in _ahead(read, _BATCHES_READ)
            )
            begin = time.perf_counter()
            for batch, records in _ahead(begun, _BATCHES_BEGUN):
                predicted = self._completed(batch, records)
                now = time.perf_counter()
                begin, seconds = now, now - begin
                yield _timed(predicted, seconds)
        finally:
            pool.shutdown(cancel_futures=True)  # a stopped job does not read on

    def _begin(
        self, tasks: Sequence[ImageTask], images: list[Future[ProcessedImage]], pool: ThreadPoolExecutor
    ) -> Future[list[Predicted]] | None:
        """The records to come of a batch; None where it must be tried otherwise."""
        if self._flips or len(tasks) > self.batch_size.images:
            return None
        try:
            prompts = [[self._prompt(expression) for expression in task.expressions] for task in tasks]
            launched = self._segmenter.launch([image.result() for image in images], prompts)
        except _FAILURES:
            return None
        return pool.submit(lambda: self._records(tasks, self._segmenter.finish(launched)))

    def _completed(
        self, tasks: Sequence[ImageTask], records: Future[list[Predicted]] | None
    ) -> list[Predicted]:
        try:
            return records.result() if records else self.predict(tasks)
        except _FAILURES:
            return self.predict(tasks)

    def _predict_piece(self, tasks: Sequence[ImageTask]) -> list[Predicted]:
        try:
            return self._attempt(tasks)
        except _FAILURES as error:
            short_of_memory = _is_short_of_memory(error)
            reason = f"{type(error).__name__}: {error}"
        # The error is gone, and with it its hold on the tensors of the attempt.
        if short_of_memory:
            self.batch_size.did_not_fit(len(tasks))
            torch.cuda.empty_cache()
        halves = _halves(tasks)
        if not halves:
            (expression,) = tasks[0].expressions
            return [(_failed(expression, self._prompt(expression), reason), _NO_LOGITS)]
        return list(chain.from_iterable(map(self.predict, halves)))

    def _attempt(self, tasks: Sequence[ImageTask]) -> list[Predicted]:
        begin = time.perf_counter()
        prompts = [[self._prompt(expression) for expression in task.expressions] for task in tasks]
        images = [open_image(task.expressions[0]) for task in tasks]

        def segment(images: Sequence[Image.Image]) -> list[list[Segmentation]]:
            return self._segmenter.segment([*map(self._processor.process_image, images)], prompts)

        records = self._records(tasks, segment_flipped(segment, images) if self._flips else segment(images))
        return _timed(records, time.perf_counter() - begin)

    def _read(self, task: ImageTask) -> ProcessedImage:
        return self._processor.process_image(open_image(task.expressions[0]))

    def _records(
        self, tasks: Sequence[ImageTask], answers: Iterable[Sequence[Segmentation]]
    ) -> list[Predicted]:
        expressions = (expression for task in tasks for expression in task.expressions)
        return [
            (_prediction(expression, self._prompt(expression), answer), answer.logits)
            for expression, answer in zip(expressions, chain.from_iterable(answers), strict=True)
        ]

    def _prompt(self, expression: Expression) -> str:
        return self._question.replace("{phrase}", expression.phrase)


def _timed(predicted: list[Predicted], seconds: float) -> list[Predicted]:
    """The same with each expression's share of the time."""
    share = round(seconds / len(predicted), 4)
    return [(replace(prediction, seconds=share), logits) for prediction, logits in predicted]


def _ahead(items: Iterable[T], count: int) -> Iterator[T]:
    """The items, each given out only when `count` more have been taken."""
    taken: deque[T] = deque()
    for item in items:
        taken.append(item)
        if len(taken) > count:
            yield taken.popleft()
    yield from taken


def _is_short_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
        words in str(error) for words in _MEMORY_IS_SHORT
    )


def _halves(tasks: Sequence[ImageTask]) -> list[list[ImageTask]]:
    """The images in two parts, or the expressions of a single one; none where there is one expression."""
    if len(tasks) > 1:
        middle = len(tasks) // 2
        return [[*tasks[:middle]], [*tasks[middle:]]]
    expressions = tasks[0].expressions
    middle = len(expressions) // 2
    return [[ImageTask(half)] for half in (expressions[:middle], expressions[middle:])] if middle else []


def _prediction(expression: Expression, prompt: str, segmentation: Segmentation) -> Prediction:
    masks = [encode(mask) for mask in segmentation.masks]
    score = sum(segmentation.scores) / len(masks) if masks else None
    if masks and not math.isfinite(score):
        raise ArithmeticError("the predicted IoU is not finite")
    return Prediction(
        image_id=expression.image_id,
        ref_id=expression.ref_id,
        sent_id=expression.sent_id,
        phrase=expression.phrase,
        prompt=prompt,
        answer=segmentation.answer,
        num_seg=len(masks),
        status=OK if masks else NO_SEG,
        error=None,
        mask=_union(masks, expression),
        masks=masks,
        score=score,
        seconds=0.0,
    )


def _union(masks: list[RLE], expression: Expression) -> RLE:
    if len(masks) == 1:
        return masks[0]
    return union(masks) if masks else empty(expression.height, expression.width)


def _failed(expression: Expression, prompt: str, reason: str) -> Prediction:
    return Prediction(
        image_id=expression.image_id,
        ref_id=expression.ref_id,
        sent_id=expression.sent_id,
        phrase=expression.phrase,
        prompt=prompt,
        answer="",
        num_seg=0,
        status=FAILED,
        error=reason,
        mask=empty(expression.height, expression.width),
        masks=[],
        score=None,
        seconds=0.0,
    )
