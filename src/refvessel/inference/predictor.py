"""Batches of images to prediction records: one for every expression, whatever goes wrong."""

import math
import time
from collections.abc import Sequence
from itertools import chain

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
from refvessel.masks import empty, encode, union
from refvessel.model.processing import Sa2VAProcessor

# What PyTorch says where its own class for it does not: of the CPU, of cuBLAS and cuDNN, of the driver.
_MEMORY_IS_SHORT = ("can't allocate memory", "ALLOC_FAILED", "out of memory")
_NO_LOGITS = np.zeros((0, 0, 0), np.float16)

# A record, and the logits of its masks: float16 (number of [SEG], size/4, size/4).
Predicted = tuple[Prediction, np.ndarray]


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

    def _predict_piece(self, tasks: Sequence[ImageTask]) -> list[Predicted]:
        try:
            return self._attempt(tasks)
        except (UserError, ArithmeticError, RuntimeError, MemoryError) as error:
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
        images = [open_image(task.expressions[0]) for task in tasks]
        prompts = [[self._prompt(expression) for expression in task.expressions] for task in tasks]

        def segment(images: Sequence[Image.Image]) -> list[list[Segmentation]]:
            return self._segmenter.segment([*map(self._processor.process_image, images)], prompts)

        answers = segment_flipped(segment, images) if self._flips else segment(images)
        expressions = [expression for task in tasks for expression in task.expressions]
        share = (time.perf_counter() - begin) / len(expressions)
        return [
            (_prediction(expression, self._prompt(expression), answer, share), answer.logits)
            for expression, answer in zip(expressions, chain.from_iterable(answers), strict=True)
        ]

    def _prompt(self, expression: Expression) -> str:
        return self._question.replace("{phrase}", expression.phrase)


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


def _prediction(
    expression: Expression, prompt: str, segmentation: Segmentation, seconds: float
) -> Prediction:
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
        mask=union(masks) if masks else empty(expression.height, expression.width),
        masks=masks,
        score=score,
        seconds=round(seconds, 4),
    )


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
