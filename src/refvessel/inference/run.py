"""Segmenting one shard of a split: from a tree and a model on the disk to predictions on the disk."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import torch
from transformers import logging as transformers_logging

from refvessel.artifacts import SHARD_SUFFIX
from refvessel.checkpoint.official_folder import read_official_folder
from refvessel.code import code_hash
from refvessel.dataset.tree.expressions import read_expressions
from refvessel.errors import UserError
from refvessel.inference.batches import fitting_batch_size, form_batches
from refvessel.inference.devices import choose_device, choose_dtype, describe_device, peak_memory
from refvessel.inference.drafts import Drafts
from refvessel.inference.loaded_model import loaded_model
from refvessel.inference.plan import ImageTask, parse_shard, plan_shard
from refvessel.inference.predictor import Predictor
from refvessel.inference.reading import read_images
from refvessel.inference.segmenter import Segmenter
from refvessel.jobs.gpus import claimed_gpus
from refvessel.jobs.progress import LOADING, RUNNING, WAITING, WARMING_UP, Reporter, reported
from refvessel.jobs.signals import stopped_by_signals
from refvessel.model.compilation import compile_blocks
from refvessel.model.processing import ProcessedImage, Sa2VAProcessor
from refvessel.predictions.asked import Asked, asked_of
from refvessel.predictions.identity import ModelState, model_identity, model_state
from refvessel.predictions.prediction import failures, read_shard
from refvessel.predictions.run_file import Run
from refvessel.predictions.shard import ShardWriter, open_shard, publish_shard
from refvessel.provenance import versions
from refvessel.settings.inference_section import Inference

# The modules that make an answer, with what they import.
ANSWERING = (
    "refvessel.inference.predictor",
    "refvessel.inference.reading",
    "refvessel.inference.loaded_model",
    "refvessel.model.compilation",
)
_COMPUTING = ("torch", "transformers", "pillow", "numpy")  # an answer of theirs may depend on the version
_DIGITS = 16  # of an identity, that tell folders apart


def segment_shard(
    *,
    model: Path,
    dataset: Path,
    split: str,
    output: Path,
    shard: str = "1/1",
    answers: Path | None = None,
    settings: Inference,
) -> None:
    """Segment every expression of one shard of a split, and append the predictions to `output`.

    An `output` that a killed job left is completed: an answer that it holds is kept where image, question, model,
    code and settings are those that it was given for. Images are batched alike whether a job was resumed or not,
    so the predictions do not depend on it.

    Args:
        model: official Hugging Face folder.
        dataset: official RefCOCO tree.
        split: a split of the tree.
        output: the shard, JSON lines.
        shard: `2/8` is the second shard of eight.
        answers: folder where finished answers are kept for later jobs, whichever shard they will be of; `output`
            is then written at the end. None: only those in `output` are known.
        settings: how the model is run.

    Raises:
        UserError: for bad input, or more failures than allowed (the answers are kept; a rerun tries those again).
    """
    device = choose_device(settings.device)
    settings.weights_memory(device.type)  # refused here, where the device is known
    asked_for, part = read_expressions(dataset, split), parse_shard(shard)
    read_official_folder(model)  # the checks of a linked folder, which take no time: hashing does
    processor = Sa2VAProcessor.from_pretrained(model)
    tasks = plan_shard(asked_for, *part, processor.layout)
    state = model_state(model)
    run = _run(settings, device, model=model_identity(model), split=split, shard=shard)
    expressions = [expression for task in tasks for expression in task.expressions]
    asked = asked_of(expressions, run.identity, settings.question)
    kept = Path(output)
    if answers is not None:
        name = f"{Path(model).name}.{Path(dataset).name}.{split}.{shard.replace('/', '-of-')}"
        kept = Path(answers) / run.identity[:_DIGITS] / f"{name}{SHARD_SUFFIX}"
    _complete(
        _Job(
            model=model,
            state=state,
            processor=processor,
            shard=kept,
            answers=None if answers is None else kept.parent,
            tasks=tasks,
            asked=asked,
            run=run,
            settings=settings,
            device=device,
        )
    )
    if answers is not None:
        publish_shard(kept, Path(output))


@dataclass(frozen=True)
class _Job:
    """A shard to be completed.

    model: official Hugging Face folder.
    state: what its files were when they were hashed.
    processor: the model's.
    shard: where the lines are kept.
    answers: folder of shards whose answers are used as well, or None.
    tasks: all images of the shard.
    asked: all its expressions.
    run: what its answers depend on.
    settings: how it is segmented.
    device: where.
    """

    model: Path
    state: ModelState
    processor: Sa2VAProcessor
    shard: Path
    answers: Path | None
    tasks: Sequence[ImageTask]
    asked: Sequence[Asked]
    run: Run
    settings: Inference
    device: torch.device


def _complete(job: _Job) -> None:
    """Segment what of a shard nobody has answered yet; without any, neither model nor GPU is needed."""
    with stopped_by_signals(), open_shard(job.shard, job.run, job.asked, job.answers) as writer:
        done, total = sum(not _unfinished([task], writer) for task in job.tasks), len(job.tasks)
        if done:
            print(
                f"{done} of {total} images were answered by earlier jobs; {total - done} are segmented.",
                file=sys.stderr,
            )
        with reported(job.shard, done=done, total=total) as reporter:
            if done < total:
                _segment(job, writer, reporter)
            writer.finish()
            _require_few_failures(job.shard, job.settings.max_failures)


def _segment(job: _Job, writer: ShardWriter, reporter: Reporter) -> None:
    """Predict, write and report what is missing."""
    with _ready(job, reporter) as predictor:
        _require_unchanged(job.model, job.state)
        # Batches are those of the whole shard, whatever an earlier job finished: so are the masks.
        batches = _left(form_batches(job.tasks, predictor.batch_size), writer)
        with (
            _read(batches, job) as images,
            closing(predictor.predict_all(batches, images)) as predictions,
        ):
            for batch, predicted in zip(batches, predictions, strict=True):
                missing = _unfinished(batch, writer)
                kept = [each for each in predicted if each[0].sent_id in missing]
                writer.append(kept)
                reporter.advance(
                    images=len({prediction.image_id for prediction, _ in kept}),
                    failures=len(failures(prediction for prediction, _ in kept)),
                    memory=peak_memory(job.device),
                )


def _require_unchanged(model: Path, state: ModelState) -> None:
    """What was loaded must be what was hashed."""
    if model_state(model) != state:
        raise UserError(f"the files of {model} changed while they were read; run again.")


def _run(settings: Inference, device: torch.device, **of_what: str) -> Run:
    return Run(
        **of_what,
        question=settings.question,
        dtype=str(choose_dtype(settings.dtype, device)).removeprefix("torch."),
        device=device.type,
        language_weights=settings.language_weights,
        batch_size=settings.batch_size,
        draft=settings.draft,
        max_new_tokens=settings.max_new_tokens,
        flips=settings.flips,
        compiled=settings.compiled,
        save_logits=settings.save_logits,
        code=code_hash(*ANSWERING),
        versions={name: version for name, version in versions().items() if name in _COMPUTING},
    )


@contextmanager
def _ready(job: _Job, reporter: Reporter) -> Iterator[Predictor]:
    """The model on its devices, which it holds until the block ends, and the batch size that fits."""
    # What is wrong with a model is told by an error, once.
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    settings, processor, device = job.settings, job.processor, job.device
    if device.type == "cpu":
        torch.set_num_threads(settings.threads)
    with ExitStack() as held:
        if device.type == "cuda":
            held.enter_context(claimed_gpus(settings.gpus_per_job, lambda: reporter.enter(WAITING)))
        reporter.enter(LOADING, describe_device(device))
        model = held.enter_context(
            loaded_model(
                job.model,
                job.shard,
                dtype=choose_dtype(settings.dtype, device),
                device=device,
                stated=settings.weights_memory(device.type),
                language_weights=settings.language_weights,
            )
        )
        segmenter = Segmenter(model, processor, settings.max_new_tokens, _drafts(job))
        predictor = Predictor(segmenter, processor, settings.question, flips=settings.flips)
        predictor.batch_size = settings.batch_size or fitting_batch_size(
            job.tasks, predictor.rehearse, device
        )
        if settings.compiled:
            compile_blocks(model)
        state = WARMING_UP if settings.compiled else RUNNING
        reporter.enter(state, describe_device(device, getattr(model, "hf_device_map", None)))
        yield predictor


def _drafts(job: _Job) -> Drafts | None:
    """What answers to expect, knowing those that an earlier job has got."""
    if job.settings.draft is None:
        return None
    ids = job.processor.answer_ids
    drafts = Drafts(ids(job.settings.draft), job.processor.stop_token_ids)
    drafts.observe(ids(prediction.answer) for prediction in read_shard(job.shard))
    return drafts


@contextmanager
def _read(
    batches: Sequence[Sequence[ImageTask]], job: _Job
) -> Iterator[Iterator[ProcessedImage | UserError] | None]:
    """The batches' images, one after the other; on the CPU one process reads and the others compute.

    None where flips are asked for: whoever flips an image reads it first.
    """
    if job.settings.flips:
        yield None
        return
    on_gpu = job.device.type == "cuda"
    readers = job.settings.threads if on_gpu else 1
    tasks = [*chain.from_iterable(batches)]
    with read_images(tasks, job.processor, readers=readers, pinned=on_gpu) as images:
        yield images


def _left(batches: Sequence[Sequence[ImageTask]], writer: ShardWriter) -> list[list[ImageTask]]:
    """What of the batches is not answered; the one in which a job was killed is segmented whole once more."""
    left = []
    for batch in batches:
        missing = _unfinished(batch, writer)
        if missing and writer.interrupted in {each.sent_id for task in batch for each in task.expressions}:
            left.append([*batch])
        elif missing:
            left.append([rest for task in batch if (rest := _part(task, missing)).expressions])
    return left


def _part(task: ImageTask, sent_ids: set[int]) -> ImageTask:
    return replace(task, expressions=tuple(each for each in task.expressions if each.sent_id in sent_ids))


def _unfinished(batch: Sequence[ImageTask], writer: ShardWriter) -> set[int]:
    return {each.sent_id for task in batch for each in task.expressions} - writer.finished


def _require_few_failures(output: Path, allowed: int) -> None:
    failed = failures(read_shard(output))
    if len(failed) > allowed:
        first = failed[0]
        raise UserError(
            f"{output}: {len(failed)} expressions failed, more than the {allowed} allowed by max_failures; "
            f"the first is {first.phrase!r} on {first.image_id} ({first.error}); mend it and run again."
        )
