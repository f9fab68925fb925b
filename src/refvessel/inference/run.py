"""Segmenting one shard of a split: from a tree and a model on the disk to predictions on the disk."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from refvessel.artifacts import SHARD_SUFFIX
from refvessel.checkpoint.official_folder import read_official_folder
from refvessel.code import code_hash
from refvessel.cores import usable_cores
from refvessel.dataset.tree.expressions import Sentence, read_expressions
from refvessel.errors import UserError
from refvessel.inference.batches import fitting_batch_size, form_batches
from refvessel.inference.devices import choose_device, choose_dtype, describe_device, peak_memory
from refvessel.inference.drafts import known_drafts
from refvessel.inference.loaded_model import model_at_work
from refvessel.inference.plan import ImageTask, parse_shard, plan_shard
from refvessel.inference.predictor import Predictor
from refvessel.inference.reading import read_images
from refvessel.inference.segmenter import Segmenter
from refvessel.inference.sheets import Numbering, Sheet, SheetsWriter, Wanted, open_sheets
from refvessel.jobs.progress import RUNNING, WARMING_UP, Reporter, reported
from refvessel.jobs.signals import stopped_by_signals
from refvessel.model.compilation import compile_blocks
from refvessel.model.processing import ProcessedImage, Sa2VAProcessor
from refvessel.predictions.asked import asked_of
from refvessel.predictions.identity import (
    ModelIdentity,
    ModelState,
    hashes_of_files,
    identify,
    require_unchanged,
)
from refvessel.predictions.prediction import Prediction, failures
from refvessel.predictions.run_file import Run
from refvessel.predictions.shard import publish_shard
from refvessel.predictions.word_cases import word_cases
from refvessel.provenance import versions
from refvessel.settings.inference_section import Inference
from refvessel.settings.words_section import Words

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
    segment_questions(
        model=model,
        dataset=dataset,
        split=split,
        wanted=[Wanted(settings.question, output)],
        shard=shard,
        answers=answers,
        settings=settings,
    )


def segment_questions(
    *,
    model: Path,
    dataset: Path,
    split: str,
    wanted: Sequence[Wanted],
    shard: str = "1/1",
    answers: Path | None = None,
    settings: Inference,
) -> None:
    """As `segment_shard`, in several questions: each image is read and encoded once for all of them.

    Args:
        model: official Hugging Face folder.
        dataset: official RefCOCO tree.
        split: a split of the tree.
        wanted: the shards to be written; several may hold the same answers.
        shard: which of the split's they are, as of `segment_shard`.
        answers: as of `segment_shard`.
        settings: how the model is run; not its question.

    Raises:
        UserError: as `segment_shard`.
    """
    segment_sentences(
        model=model,
        sentences=read_expressions(dataset, split),
        name=f"{Path(dataset).name}.{split}",
        split=split,
        wanted=wanted,
        shard=shard,
        answers=answers,
        settings=settings,
    )


def segment_sentences(
    *,
    model: Path,
    sentences: Sequence[Sentence],
    name: str,
    split: str,
    wanted: Sequence[Wanted],
    shard: str = "1/1",
    answers: Path | None = None,
    settings: Inference,
) -> None:
    """As `segment_questions`, of sentences that need not be of a tree.

    Args:
        model: official Hugging Face folder.
        sentences: what is asked about which images, each with a sent_id of its own.
        name: what they are called in the names of kept shards.
        split: what the shards call their split.
        wanted: as of `segment_questions`.
        shard: as of `segment_shard`.
        answers: as of `segment_shard`.
        settings: how the model is run; not its question.

    Raises:
        UserError: as `segment_shard`.
    """
    device = choose_device(settings.device)
    settings.weights_memory(device.type)  # refused here, where the device is known
    part = parse_shard(shard)
    found = identify(model)  # beside the checks: it reads all weights, where nothing states their hash
    read_official_folder(model)
    processor = Sa2VAProcessor.from_pretrained(model)
    tasks = plan_shard(sentences, *part, processor.layout)
    expressions = [expression for task in tasks for expression in task.expressions]
    images = hashes_of_files(each.image_path for each in expressions)
    name = f"{Path(model).name}.{name}.{shard.replace('/', '-of-')}"
    sheets: list[Sheet] = []
    for each in wanted:
        if any(sheet.is_of(each) for sheet in sheets):
            continue
        run = _run(settings, device, found.result(), split=split, shard=shard, question=each.question)
        if each.words is not None:
            run = replace(run, save_logits=False)  # nothing is made of them
        folder = None if answers is None else Path(answers) / run.identity[:_DIGITS]
        kept = Path(each.output) if folder is None else folder / f"{name}{each.suffix}{SHARD_SUFFIX}"
        mine = expressions if each.words is None else _asked_besides(sentences, tasks, each.words)
        asked = asked_of(mine, run.identity, each.question, images)
        sheets.append(Sheet(each, kept, folder, mine, asked, run))
    numbering = Numbering(sheets)
    _complete(
        _Job(
            model=model,
            state=found.result().state,
            processor=processor,
            sheets=sheets,
            numbering=numbering,
            tasks=plan_shard(numbering.expressions, 1, 1, processor.layout),
            settings=settings,
            device=device,
        )
    )
    for each in wanted:
        (kept,) = (sheet.shard for sheet in sheets if sheet.is_of(each))
        if kept != Path(each.output):
            publish_shard(kept, Path(each.output))


def _asked_besides(
    expressions: Sequence[Sentence], tasks: Sequence[ImageTask], words: Words
) -> list[Sentence]:
    """The cases of a split that are about these images."""
    image_ids = {task.image_id for task in tasks}
    return [case.asked for case in word_cases(expressions, words) if case.asked.image_id in image_ids]


@dataclass(frozen=True)
class _Job:
    """Shards to be completed, all about the same images.

    model: official Hugging Face folder.
    state: what its files were when they were hashed.
    processor: the model's.
    sheets: what each shard answers.
    numbering: of the expressions of all sheets.
    tasks: all images, with the numbered expressions.
    settings: how they are segmented.
    device: where.
    """

    model: Path
    state: ModelState
    processor: Sa2VAProcessor
    sheets: Sequence[Sheet]
    numbering: Numbering
    tasks: Sequence[ImageTask]
    settings: Inference
    device: torch.device

    @property
    def shard(self) -> Path:
        """The first of the shards, beside which lies what is of the job."""
        return self.sheets[0].shard


def _complete(job: _Job) -> None:
    """Segment what nobody has answered yet; without any, neither model nor GPU is needed."""
    with stopped_by_signals(), open_sheets(job.sheets, job.numbering) as writer:
        done, total = sum(not _unfinished([task], writer) for task in job.tasks), len(job.tasks)
        if done:
            print(
                f"{done} of {total} images were answered by earlier jobs; {total - done} are segmented.",
                file=sys.stderr,
            )
        with reported(job.shard, done=done, total=total) as reporter:
            if done < total:
                _segment(job, writer, reporter)
            for sheet, records in zip(job.sheets, writer.finish(), strict=True):
                _require_few_failures(sheet.shard, failures(records), job.settings.max_failures)


def _segment(job: _Job, writer: SheetsWriter, reporter: Reporter) -> None:
    """Predict, write and report what is missing."""
    with _ready(job, reporter) as predictor:
        require_unchanged(job.model, job.state)
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


def _run(settings: Inference, device: torch.device, model: ModelIdentity, **of_what: Any) -> Run:
    return Run(
        **of_what,
        model=model.sha256,
        model_from=model.taken_from,
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
    settings, processor, device = job.settings, job.processor, job.device
    at_work = model_at_work(job.model, job.shard, settings=settings, device=device, reporter=reporter)
    with at_work as model:
        drafts = known_drafts(settings.draft, processor, *(sheet.shard for sheet in job.sheets))
        segmenter = Segmenter(model, processor, settings.max_new_tokens, drafts)
        predictor = Predictor(segmenter, processor, job.numbering.questions, flips=settings.flips)
        predictor.batch_size = settings.batch_size or fitting_batch_size(
            job.tasks, predictor.rehearse, device, flips=settings.flips
        )
        if settings.compiled:
            compile_blocks(model)
        state = WARMING_UP if settings.compiled else RUNNING
        reporter.enter(state, describe_device(device, getattr(model, "hf_device_map", None)))
        yield predictor


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
    readers = (job.settings.threads or usable_cores()) if on_gpu else 1
    tasks = [*chain.from_iterable(batches)]
    with read_images(tasks, job.processor, readers=readers, pinned=on_gpu) as images:
        yield images


def _left(batches: Sequence[Sequence[ImageTask]], writer: SheetsWriter) -> list[list[ImageTask]]:
    """What of the batches is not answered; the one in which a job was killed is segmented whole once more."""
    left = []
    for batch in batches:
        missing = _unfinished(batch, writer)
        if missing and writer.interrupted & {each.sent_id for task in batch for each in task.expressions}:
            left.append([*batch])
        elif missing:
            left.append([rest for task in batch if (rest := _part(task, missing)).expressions])
    return left


def _part(task: ImageTask, sent_ids: set[int]) -> ImageTask:
    return replace(task, expressions=tuple(each for each in task.expressions if each.sent_id in sent_ids))


def _unfinished(batch: Sequence[ImageTask], writer: SheetsWriter) -> set[int]:
    return {each.sent_id for task in batch for each in task.expressions} - writer.finished


def _require_few_failures(output: Path, failed: Sequence[Prediction], allowed: int) -> None:
    if len(failed) > allowed:
        first = failed[0]
        raise UserError(
            f"{output}: {len(failed)} expressions failed, more than the {allowed} allowed by max_failures; "
            f"the first is {first.phrase!r} on {first.image_id} ({first.error}); mend it and run again."
        )
