"""Batches of images to prediction records: one per expression, whatever goes wrong.

    thread of the model   encode 1, encode 2, decode 1, encode 3, decode 2, ...    a GPU always has work
    pool of threads                           collect 1,          collect 2, ...   masks arrive and are encoded
    caller                                                records 1,          ...

A batch that fails in any stage is left to `predict`, which settles every failure.

Several models take turns batch by batch, on that same thread: what towers that they share see in a batch is known
to all of them. Each settles its own failures.
"""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from itertools import chain

import numpy as np
import torch
from PIL import Image

from refvessel.dataset.tree.expressions import Sentence
from refvessel.dataset.tree.loader import open_image
from refvessel.errors import UserError
from refvessel.inference.augmentation import segment_flipped
from refvessel.inference.devices import require_working_gpu
from refvessel.inference.failures import Failure, attempted
from refvessel.inference.plan import ImageTask
from refvessel.inference.prediction_records import answered, failed
from refvessel.inference.prefetch import prefetch
from refvessel.inference.segmenter import Batch, Segmentation, Segmenter
from refvessel.inference.turns import Turns
from refvessel.model.processing import ProcessedImage, Sa2VAProcessor
from refvessel.predictions.prediction import Prediction
from refvessel.prompts import prompt_of

_NO_LOGITS = np.zeros((0, 0, 0), np.float16)
_THREADS = 4  # that collect masks
_PREFETCHED = 2  # batches beside the one that is awaited: masks are collected meanwhile

Tasks = Sequence[ImageTask]
Shown = Iterator[ProcessedImage | UserError]  # in the place of one that does not open, why
Images = Shown | None
Predicted = tuple[Prediction, np.ndarray]  # a record, and its masks' logits: float16 (number, size/4, size/4)
Decoding = tuple[Tasks, Future[list[Predicted]]]  # a part of a batch, and its records to come


class Predictor:
    """Runs a segmenter over batches of images, and finds out what in a failing batch fails.

    Args:
        segmenter: the model.
        processor: the model's processor.
        question: the prompt, with `{phrase}`; or that of each expression, by its sent_id.
        batch_size: images that go through the model at once, at first; fewer after each time that memory was
            short, never more.
        flips: whether the logits are averaged over an image and its flips.
        turns: in common with the predictors of other models; None: there are none.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        processor: Sa2VAProcessor,
        question: str | Mapping[int, str],
        batch_size: int = 1,
        *,
        flips: bool = False,
        turns: Turns | None = None,
    ) -> None:
        self.batch_size = batch_size
        self._segmenter = segmenter
        self._processor = processor
        self._question = question
        self.flips = flips
        self._turns = turns or Turns()
        self._model_lock = self._turns.lock
        self._waiting: deque[Batch] = deque()  # to be decoded
        self._turns.waiting.append(self._waiting)

    def predict_all(
        self, batches: Sequence[Tasks], images: Images = None
    ) -> Generator[list[Predicted], None, None]:
        """The records of each batch, in order, while later ones are computed.

        Args:
            batches: what to segment.
            images: the batches' images, one after the other; None: they are read when their turn comes.
        """
        with closing(predict_in_turn([self], [batches], [images])) as predictions:
            for _, predicted in predictions:
                yield predicted

    def decoded(
        self, batches: Iterable[Tasks], images: Images, pool: ThreadPoolExecutor
    ) -> Iterator[list[Decoding]]:
        """With each batch, and once more, what was decoded meanwhile: one is encoded before another is decoded."""
        self._waiting.clear()
        for tasks in batches:
            done: list[Decoding] = []
            for batch in self._parts(tasks, images):
                if batch.images:
                    self._run(self._segmenter.encode, batch)
                self._waiting.append(batch)
                left = (
                    0 if batch.prefill is None else 1
                )  # beside a batch that is tried again, none is encoded
                while len(self._waiting) > left:
                    done.append(self._decode_next(pool))
            yield done
        yield [self._decode_next(pool) for _ in range(len(self._waiting))]

    def _parts(self, tasks: Tasks, images: Images) -> Iterator[Batch]:
        """As many images of a batch as fit at once."""
        while tasks:
            size = self.batch_size
            part, tasks = tasks[:size], tasks[size:]
            yield self._batch(part, [next(images) for _ in part] if images else [])

    def _batch(self, tasks: Tasks, images: Sequence[ProcessedImage | UserError]) -> Batch:
        """A batch, without images where one of them did not open."""
        opened = [image for image in images if not isinstance(image, UserError)]
        return Batch(
            images=opened if len(opened) == len(tasks) else [],
            prompts=[self.prompts(task) for task in tasks],
            tasks=tasks,
            full=len(tasks) >= self.batch_size,
        )

    def _decode_next(self, pool: ThreadPoolExecutor) -> Decoding:
        """The records to come of what waits longest."""
        with self._model_lock:
            batch = self._waiting.popleft()
            if batch.prefill is not None:
                self._run(self._segmenter.decode, batch)
        if batch.masks is not None:
            return batch.tasks, pool.submit(self._collect, batch)
        records: Future[list[Predicted]] = Future()
        records.set_result(self.predict(batch.tasks))
        return batch.tasks, records

    def _run(self, stage: Callable[[Batch], None], batch: Batch) -> None:
        """One stage; a batch that fails in it holds nothing of the device any more.

        Memory that is short beside another batch would be so for all to come: they become smaller.
        """
        with self._model_lock:
            outcome = attempted(lambda: stage(batch))
        if isinstance(outcome, Failure):
            batch.let_go()
            if outcome.short_of_memory:
                self._shrink(batch.tasks)

    def _collect(self, batch: Batch) -> list[Predicted]:
        return self._records(batch.tasks, self._segmenter.collect(batch))

    def collected(self, tasks: Tasks, records: Future[list[Predicted]]) -> list[Predicted]:
        """The records of what was decoded, which `predict` makes where they do not come."""
        outcome = attempted(records.result)
        return self.predict(tasks) if isinstance(outcome, Failure) else outcome

    def predict(self, tasks: Tasks) -> list[Predicted]:
        """A record of every expression, in order, and its logits.

        What fails at once is tried again in halves, at last the expressions of one image apart; one that fails
        alone becomes a failed record with its error. Memory that is short is first won back from the batches
        that wait; where none does, later batches become smaller.
        """
        size = self.batch_size
        parts = [tasks[start : start + size] for start in range(0, len(tasks), size)]
        return list(chain.from_iterable(map(self._settled, parts)))

    def _settled(self, tasks: Tasks) -> list[Predicted]:
        outcome = attempted(lambda: self.attempt(tasks))
        if not isinstance(outcome, Failure):
            return outcome
        require_working_gpu()
        if outcome.short_of_memory:
            if self._turns.let_go():
                return self._settled(tasks)
            self._shrink(tasks)
            torch.cuda.empty_cache()
        halves = _halves(tasks)
        if not halves:
            (expression,) = tasks[0].expressions
            return [(failed(expression, self._prompt(expression), outcome.reason), _NO_LOGITS)]
        return list(chain.from_iterable(map(self.predict, halves)))

    def _shrink(self, tasks: Tasks) -> None:
        """So many images were too many."""
        self.batch_size = max(1, min(self.batch_size, len(tasks) // 2))

    def attempt(self, tasks: Tasks) -> list[Predicted]:
        """The records of one batch at once; raises whatever goes wrong."""
        begin = time.perf_counter()
        images = [open_image(task.expressions[0]) for task in tasks]

        def segment(images: Sequence[Image.Image]) -> list[list[Segmentation]]:
            with self._model_lock:
                return self._segmenter.segment(self._batch(tasks, self._processed(images)))

        answers = segment_flipped(segment, images) if self.flips else segment(images)
        return _timed(self._records(tasks, answers), time.perf_counter() - begin)

    def prompts(self, task: ImageTask) -> list[str]:
        """What is asked about an image."""
        return [self._prompt(expression) for expression in task.expressions]

    @property
    def paths(self) -> set[str]:
        """The paths that computed the batches encoded so far."""
        return self._segmenter.paths

    def compile(self) -> None:
        """Compile the model, while no stage of a batch is computed."""
        with self._model_lock:
            self._segmenter.compile()

    def rehearse_encoding(self, tasks: Tasks) -> Batch:
        """A batch of these as it waits to be decoded; raises whatever goes wrong."""
        batch = self._batch(tasks, self._processed([open_image(task.expressions[0]) for task in tasks]))
        self._segmenter.encode(batch)
        return batch

    def _processed(self, images: Sequence[Image.Image]) -> list[ProcessedImage]:
        return [self._processor.process_image(image) for image in images]

    def _records(self, tasks: Tasks, answers: Iterable[Sequence[Segmentation]]) -> list[Predicted]:
        expressions = (expression for task in tasks for expression in task.expressions)
        return [
            (answered(expression, self._prompt(expression), answer), answer.logits)
            for expression, answer in zip(expressions, chain.from_iterable(answers), strict=True)
        ]

    def _prompt(self, expression: Sentence) -> str:
        stated = self._question
        question = stated if isinstance(stated, str) else stated[expression.sent_id]
        return prompt_of(question, expression.phrase)


def predict_in_turn(
    predictors: Sequence[Predictor], batches: Sequence[Sequence[Tasks]], images: Sequence[Images]
) -> Generator[tuple[int, list[Predicted]], None, None]:
    """The records of each batch by each predictor, which take turns with it, while later ones are computed.

    Args:
        predictors: of models, which have their turns in common.
        batches: of each, as many; a batch may be empty.
        images: of each, those of its batches, one after the other; None: they are read when their turn comes.

    Yields:
        A predictor's number and its records of its next batch that is not empty.
    """
    pool = ThreadPoolExecutor(_THREADS)

    def in_turn() -> Iterator[tuple[int, list[Decoding]]]:
        each = zip(predictors, batches, images, strict=True)
        steps = [predictor.decoded(mine, shown, pool) for predictor, mine, shown in each]
        for step in zip(*steps, strict=True):
            yield from enumerate(step)

    try:
        begin = time.perf_counter()
        wanted = [deque(tasks for tasks in mine if tasks) for mine in batches]
        found: list[list[Predicted]] = [[] for _ in predictors]
        asked = [0] * len(predictors)  # images of the batch that is being gathered
        with closing(prefetch(in_turn(), _PREFETCHED)) as decoded:
            for number, parts in decoded:
                for part, records in parts:
                    found[number] += predictors[number].collected(part, records)
                    asked[number] += len(part)
                    if asked[number] == len(wanted[number][0]):
                        now = time.perf_counter()
                        begin, seconds = now, now - begin
                        yield number, _timed(found[number], seconds)
                        wanted[number].popleft()
                        found[number], asked[number] = [], 0
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def rehearse_in_turn(predictors: Sequence[Predictor], tasks: Tasks) -> None:
    """Hold at once as much memory as `predict_in_turn` does with batches of these; raises whatever goes wrong."""
    if predictors[0].flips:
        predictors[0].attempt(tasks)
        return
    waiting = [predictor.rehearse_encoding(tasks) for predictor in predictors]
    predictors[0].attempt(tasks)
    for batch in waiting:
        batch.let_go()


def _timed(predicted: list[Predicted], seconds: float) -> list[Predicted]:
    """The same with each expression's share of the time."""
    share = round(seconds / len(predicted), 4)
    return [(replace(prediction, seconds=share), logits) for prediction, logits in predicted]


def _halves(tasks: Tasks) -> list[list[ImageTask]]:
    """The images in two parts, or the expressions of a single one; none where there is one expression."""
    if len(tasks) > 1:
        middle = len(tasks) // 2
        return [[*tasks[:middle]], [*tasks[middle:]]]
    expressions = tasks[0].expressions
    middle = len(expressions) // 2
    halves = (expressions[:middle], expressions[middle:]) if middle else ()
    return [[replace(tasks[0], expressions=half)] for half in halves]
