"""Segmenting one shard of a split: from a tree and a model on the disk to predictions on the disk."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm
from transformers import logging as transformers_logging

from refvessel.dataset.loader import QUESTION, open_image
from refvessel.dataset.tree import Expression, read_expressions
from refvessel.errors import UserError
from refvessel.inference.devices import choose_device, choose_dtype
from refvessel.inference.identity import dataset_identity, model_identity
from refvessel.inference.plan import ImageTask, parse_shard, plan_shard
from refvessel.inference.records import FAILED, NO_SEG, OK, Prediction, failures, read_shard
from refvessel.inference.segmenter import Segmentation, Segmenter
from refvessel.inference.shard import Run, ShardWriter
from refvessel.masks import empty, encode, union
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.processing import IMAGE_PLACEHOLDER, Sa2VAProcessor
from refvessel.provenance import versions


def segment_shard(
    *,
    model: Path,
    dataset: Path,
    split: str,
    output: Path,
    shard: str = "1/1",
    dtype: str | None = None,
    device: str | None = None,
    batch_size: int = 4,
    max_new_tokens: int = 2048,
    question: str = QUESTION,
    max_failures: int = 0,
) -> None:
    """Segment every expression of one shard of a split, and append the predictions to `output`.

    An `output` that a killed job left is completed; its finished expressions are kept as they are. Images are
    batched alike whether a job was resumed or not, so the predictions do not depend on it.

    Args:
        model: official Hugging Face folder.
        dataset: official RefCOCO tree.
        split: a split of the tree.
        output: the shard, JSON lines.
        shard: `2/8` is the second shard of eight.
        dtype: float32 or bfloat16; None: bfloat16 on a GPU, float32 on the CPU.
        device: cpu or cuda; None: a GPU where there is one.
        batch_size: images a batch.
        max_new_tokens: the longest answer.
        question: the prompt, with `<image>` and `{phrase}`.
        max_failures: how many failed expressions a finished shard may hold.

    Raises:
        UserError: for bad input, or more failures than allowed (the shard is kept; a rerun tries those again).
    """
    _check_question(question)
    if batch_size < 1:
        raise UserError(f"the batch size is {batch_size}; give at least 1.")
    device = choose_device(device)
    dtype = choose_dtype(dtype, device)
    tasks = plan_shard(read_expressions(dataset, split), *parse_shard(shard))
    run = Run(
        model=model_identity(model),
        dataset=dataset_identity(dataset),
        split=split,
        shard=shard,
        question=question,
        dtype=str(dtype).removeprefix("torch."),
        device=device.type,
        batch_size=batch_size,
        max_new_tokens=max_new_tokens,
        versions=versions(),
    )
    processor = Sa2VAProcessor.from_pretrained(model)
    writer = ShardWriter(output, run)
    # What is wrong with a model is told by an error, once.
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    if pending := [batch for batch in _batches(tasks, batch_size) if _unfinished(batch, writer)]:
        segmenter = Segmenter(Sa2VAModel.load(model, dtype=dtype, device=device), processor, max_new_tokens)
        with _progress(tasks, pending) as progress:
            for batch in pending:
                missing = _unfinished(batch, writer)
                predictions = _segment_batch(segmenter, processor, batch, question)
                writer.append(each for each in predictions if each.sent_id in missing)
                progress.update(len(batch))
    _require_few_failures(output, max_failures)


def _check_question(question: str) -> None:
    if question.count(IMAGE_PLACEHOLDER) != 1 or question.count("{phrase}") != 1:
        raise UserError(
            f"the question {question!r} must hold {IMAGE_PLACEHOLDER} and {{phrase}} exactly once each; add them."
        )


def _batches(tasks: list[ImageTask], size: int) -> list[list[ImageTask]]:
    return [tasks[start : start + size] for start in range(0, len(tasks), size)]


def _unfinished(batch: list[ImageTask], writer: ShardWriter) -> set[int]:
    return {each.sent_id for task in batch for each in task.expressions} - writer.finished


def _progress(tasks: list[ImageTask], pending: list[list[ImageTask]]) -> tqdm:
    done = len(tasks) - sum(map(len, pending))
    return tqdm(total=len(tasks), initial=done, unit="image", desc="segment", file=sys.stderr)


def _segment_batch(
    segmenter: Segmenter, processor: Sa2VAProcessor, batch: list[ImageTask], question: str
) -> Iterator[Prediction]:
    """Predictions for a batch; where it fails as a whole, for its images one by one."""
    begin = time.perf_counter()
    try:
        images = [processor.process_image(open_image(task.expressions[0])) for task in batch]
        prompts = [[_prompt(question, each) for each in task.expressions] for task in batch]
        answers = segmenter.segment(images, prompts)
    except (UserError, ArithmeticError, RuntimeError) as error:
        if len(batch) > 1:
            for task in batch:
                yield from _segment_batch(segmenter, processor, [task], question)
        else:
            for expression in batch[0].expressions:
                yield _failed(expression, _prompt(question, expression), error)
        return
    share = (time.perf_counter() - begin) / sum(len(task.expressions) for task in batch)
    for task, mine, asked in zip(batch, answers, prompts, strict=True):
        for expression, segmentation, prompt in zip(task.expressions, mine, asked, strict=True):
            yield _prediction(expression, prompt, segmentation, share)


def _prompt(question: str, expression: Expression) -> str:
    return question.replace("{phrase}", expression.phrase)


def _prediction(
    expression: Expression, prompt: str, segmentation: Segmentation, seconds: float
) -> Prediction:
    masks = [encode(mask) for mask in segmentation.masks]
    scores = segmentation.scores
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
        score=sum(scores) / len(scores) if scores else None,
        seconds=round(seconds, 4),
    )


def _failed(expression: Expression, prompt: str, error: Exception) -> Prediction:
    return Prediction(
        image_id=expression.image_id,
        ref_id=expression.ref_id,
        sent_id=expression.sent_id,
        phrase=expression.phrase,
        prompt=prompt,
        answer="",
        num_seg=0,
        status=FAILED,
        error=f"{type(error).__name__}: {error}",
        mask=empty(expression.height, expression.width),
        masks=[],
        score=None,
        seconds=0.0,
    )


def _require_few_failures(output: Path, allowed: int) -> None:
    failed = failures(read_shard(output))
    if len(failed) > allowed:
        first = failed[0]
        raise UserError(
            f"{output}: {len(failed)} expressions failed, more than the {allowed} allowed by max_failures; "
            f"the first is {first.phrase!r} on {first.image_id} ({first.error}); mend it and run again."
        )
