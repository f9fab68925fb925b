"""Batches of images to prediction records: one for every expression, whatever goes wrong."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, replace
from itertools import chain
from threading import RLock
from typing import TypeVar

import numpy as np
import torch
from PIL import Image

from refvessel.dataset.tree.expressions import Expression
from refvessel.dataset.tree.loader import open_image, prompt_of
from refvessel.errors import UserError
from refvessel.inference.augmentation import segment_flipped
from refvessel.inference.batches import FAILURES, BatchSize
from refvessel.inference.devices import require_working_gpu
from refvessel.inference.plan import ImageTask
from refvessel.inference.prefetch import prefetch
from refvessel.inference.reading import tells_of_a_reader
from refvessel.inference.records import answered, failed
from refvessel.inference.segmenter import Begun, Launched, Segmentation, Segmenter
from refvessel.model.language import uncompiled
from refvessel.model.processing import ProcessedImage, Sa2VAProcessor
from refvessel.predictions.prediction import Prediction

# What PyTorch says where its own class for it does not: of the CPU, of cuBLAS and cuDNN, of the driver.
_MEMORY_IS_SHORT = ("can't allocate memory", "ALLOC_FAILED", "out of memory")
_NO_LOGITS = np.zeros((0, 0, 0), np.float16)

T = TypeVar("T")

# A record, and the logits of its masks: float16 (number of [SEG], size/4, size/4).
Predicted = tuple[Prediction, np.ndarray]

_THREADS = 4  # that encode masks
_PIECES_AHEAD = 2  # of the one that is awaited: masks are encoded meanwhile


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
        batch_size: int = 1,
        *,
        flips: bool = False,
    ) -> None:
        self.batch_size = BatchSize(batch_size)
        self._segmenter = segmenter
        self._processor = processor
        self._question = question
        self._flips = flips
        self._model_lock = RLock()  # a batch that is tried again, by another thread, has it for itself
        self._waiting: deque[_Piece] = deque()  # what was begun and is not answered

    def predict(self, batch: Sequence[ImageTask]) -> list[Predicted]:
        """A record of every expression, in order, and its logits."""
        size = self.batch_size.images
        pieces = [batch[start : start + size] for start in range(0, len(batch), size)]
        return list(chain.from_iterable(map(self._predict_piece, pieces)))

    def predict_all(
        self,
        batches: Sequence[Sequence[ImageTask]],
        images: Iterator[ProcessedImage | UserError] | None = None,
    ) -> Generator[list[Predicted], None, None]:
        """The records of each batch, in order, while later ones are computed.

        The model runs in a thread of its own and, on a GPU, is told of a batch before the masks of the one before
        have arrived; others encode masks. What of a batch goes through at once and fails is left to `predict`.

        Args:
            batches: what to segment.
            images: the batches' images, one after the other; None: they are read when their turn comes.
        """
        pool = ThreadPoolExecutor(_THREADS)
        try:
            begin = time.perf_counter()
            with closing(prefetch(self._answered(batches, images, pool), _PIECES_AHEAD)) as pieces:
                for batch in batches:
                    predicted: list[Predicted] = []
                    missing = len(batch)
                    while missing:
                        piece, records = next(pieces)
                        predicted += self._completed(piece, records)
                        missing -= len(piece)
                    now = time.perf_counter()
                    begin, seconds = now, now - begin
                    yield _timed(predicted, seconds)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _answered(
        self,
        batches: Sequence[Sequence[ImageTask]],
        images: Iterator[ProcessedImage | UserError] | None,
        pool: ThreadPoolExecutor,
    ) -> Iterator[tuple[Sequence[ImageTask], Future[list[Predicted]]]]:
        """Pieces of the batches, and the records of each to come; the next is begun before one is answered."""
        self._waiting.clear()
        for tasks, read in self._pieces(batches, images):
            newest = _Piece(tasks, self._begin(tasks, read))
            self._waiting.append(newest)
            left = 1 if newest.begun else 0  # beside what could not be begun, nothing is
            while len(self._waiting) > left:
                yield self._answer(pool)
        while self._waiting:
            yield self._answer(pool)

    def _pieces(
        self, batches: Sequence[Sequence[ImageTask]], images: Iterator[ProcessedImage | UserError] | None
    ) -> Iterator[tuple[Sequence[ImageTask], list[ProcessedImage | UserError] | None]]:
        """As many of a batch as fit at once, with their images."""
        for batch in batches:
            rest = batch
            while rest:
                size = self.batch_size.images
                piece, rest = rest[:size], rest[size:]
                yield piece, [next(images) for _ in piece] if images else None

    def _begin(
        self, tasks: Sequence[ImageTask], images: Sequence[ProcessedImage | UserError] | None
    ) -> Begun | None:
        """None where it is left to `predict`."""
        if images is None or any(isinstance(image, UserError) for image in images):
            return None
        return self._step(tasks, self._segmenter.begin, images, self._prompts(tasks))

    def _answer(self, pool: ThreadPoolExecutor) -> tuple[Sequence[ImageTask], Future[list[Predicted]]]:
        """The records to come of what waits longest."""
        with self._model_lock:
            piece = self._waiting.popleft()
            launched = piece.begun and self._step(piece.tasks, self._segmenter.answer, piece.begun)
            piece.begun = None  # what failed lets go of its tensors before the next attempt
        if launched:
            return piece.tasks, pool.submit(self._finish, piece.tasks, launched)
        records: Future[list[Predicted]] = Future()
        records.set_result(self.predict(piece.tasks))
        return piece.tasks, records

    def _step(self, tasks: Sequence[ImageTask], step: Callable[..., T], *inputs: object) -> T | None:
        """What a step gives, or None where it fails, the error and its hold on tensors being gone.

        Memory that is short beside another batch would be so for all to come: they become smaller.
        """
        try:
            with self._model_lock, self._compiled_if_full(tasks):
                return step(*inputs)
        except FAILURES as error:
            short_of_memory = _is_short_of_memory(error)
        if short_of_memory:
            self.batch_size.did_not_fit(len(tasks))
        return None

    def _finish(self, tasks: Sequence[ImageTask], launched: Launched) -> list[Predicted]:
        return self._records(tasks, self._segmenter.finish(launched))

    def _completed(self, tasks: Sequence[ImageTask], records: Future[list[Predicted]]) -> list[Predicted]:
        try:
            return records.result()
        except FAILURES as error:
            if tells_of_a_reader(error):
                raise
        return self.predict(tasks)

    def _predict_piece(self, tasks: Sequence[ImageTask]) -> list[Predicted]:
        try:
            return self.attempt(tasks)
        except FAILURES as error:
            if tells_of_a_reader(error):
                raise
            short_of_memory = _is_short_of_memory(error)
            reason = f"{type(error).__name__}: {error}"
        # The error is gone, and with it its hold on the tensors of the attempt.
        require_working_gpu()
        if short_of_memory and self._let_go():
            return self._predict_piece(tasks)
        if short_of_memory:
            self.batch_size.did_not_fit(len(tasks))
            torch.cuda.empty_cache()
        halves = _halves(tasks)
        if not halves:
            (expression,) = tasks[0].expressions
            return [(failed(expression, self._prompt(expression), reason), _NO_LOGITS)]
        return list(chain.from_iterable(map(self.predict, halves)))

    def _let_go(self) -> bool:
        """Whether anything had been begun, whose memory is free now; it will be begun anew."""
        with self._model_lock:
            begun = [piece for piece in self._waiting if piece.begun]
            for piece in begun:
                piece.begun = None
        return bool(begun)

    def rehearse(self, tasks: Sequence[ImageTask]) -> None:
        """Hold at once as much memory as `predict_all` does with batches of these; raises whatever goes wrong."""
        if self._flips:
            self.attempt(tasks)
            return
        images = [self._processor.process_image(open_image(task.expressions[0])) for task in tasks]
        begun = self._segmenter.begin(images, self._prompts(tasks))
        self._segmenter.segment(images, self._prompts(tasks))
        del begun

    def attempt(self, tasks: Sequence[ImageTask]) -> list[Predicted]:
        """The same of one batch at once; raises whatever goes wrong."""
        begin = time.perf_counter()
        prompts = self._prompts(tasks)
        images = [open_image(task.expressions[0]) for task in tasks]

        def segment(images: Sequence[Image.Image]) -> list[list[Segmentation]]:
            with self._model_lock, self._compiled_if_full(tasks):
                return self._segmenter.segment([*map(self._processor.process_image, images)], prompts)

        records = self._records(tasks, segment_flipped(segment, images) if self._flips else segment(images))
        return _timed(records, time.perf_counter() - begin)

    def _records(
        self, tasks: Sequence[ImageTask], answers: Iterable[Sequence[Segmentation]]
    ) -> list[Predicted]:
        expressions = (expression for task in tasks for expression in task.expressions)
        return [
            (answered(expression, self._prompt(expression), answer), answer.logits)
            for expression, answer in zip(expressions, chain.from_iterable(answers), strict=True)
        ]

    def _compiled_if_full(self, tasks: Sequence[ImageTask]) -> AbstractContextManager[object]:
        """Only full batches are worth being compiled for: each other shape would take tens of seconds, once."""
        return nullcontext() if len(tasks) >= self.batch_size.images else uncompiled()

    def _prompts(self, tasks: Sequence[ImageTask]) -> list[list[str]]:
        return [[self._prompt(expression) for expression in task.expressions] for task in tasks]

    def _prompt(self, expression: Expression) -> str:
        return prompt_of(self._question, expression.phrase)


@dataclass
class _Piece:
    """Images that go through the model at once, and what has begun of it, if anything."""

    tasks: Sequence[ImageTask]
    begun: Begun | None


def _timed(predicted: list[Predicted], seconds: float) -> list[Predicted]:
    """The same with each expression's share of the time."""
    share = round(seconds / len(predicted), 4)
    return [(replace(prediction, seconds=share), logits) for prediction, logits in predicted]


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
