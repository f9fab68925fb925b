"""Shards completed by the models that they are of: what nobody has answered yet is segmented, written, published.

Models that see images alike take turns with each batch, as many at once as the memory holds, then the next ones.
"""

import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import tee
from pathlib import Path

import torch

from refvessel.cores import usable_cores
from refvessel.errors import UserError
from refvessel.inference.batches import fitting_batch_size, form_batches
from refvessel.inference.compiling import compiled_where_it_pays
from refvessel.inference.devices import describe_device, peak_memory
from refvessel.inference.drafts import known_drafts
from refvessel.inference.loaded_model import device_at_work, loaded_series
from refvessel.inference.looks import Looks
from refvessel.inference.plan import ImageTask
from refvessel.inference.predictor import Images, Predictor, Shown, predict_in_turn, rehearse_in_turn
from refvessel.inference.reading import read_images
from refvessel.inference.segmenter import Segmenter
from refvessel.inference.sheets import Numbering, Sheet, SheetsWriter, Wanted, open_sheets
from refvessel.inference.turns import Turns
from refvessel.inference.warm_up import warmed_up
from refvessel.jobs.progress import LOADING, RUNNING, WAITING, WARMING_UP, Reporter, reported
from refvessel.jobs.signals import stopped_by_signals
from refvessel.model.processing import Sa2VAProcessor
from refvessel.model.sharing import shared_towers
from refvessel.predictions.identity import ModelState, require_unchanged
from refvessel.predictions.prediction import Prediction, failures
from refvessel.predictions.run_file import note_paths
from refvessel.predictions.shard import publish_shard
from refvessel.prompts import prompt_of
from refvessel.settings.inference_section import Inference


@dataclass(frozen=True)
class Job:
    """Shards of one model to be completed, all about the same images.

    model: official Hugging Face folder.
    state: what its files were when they were hashed.
    processor: the model's.
    sheets: what each shard answers.
    numbering: of the expressions of all sheets.
    tasks: all images, with the numbered expressions.
    wanted: the shards to be published, of the sheets.
    """

    model: Path
    state: ModelState
    processor: Sa2VAProcessor
    sheets: Sequence[Sheet]
    numbering: Numbering
    tasks: Sequence[ImageTask]
    wanted: Sequence[Wanted]

    @property
    def shard(self) -> Path:
        """The first of the shards, beside which lies what is of the job."""
        return self.sheets[0].shard


@dataclass(frozen=True)
class _Work:
    """A job at work.

    writer: of its shards.
    reporter: of its progress.
    reporting: tells, once it is closed, how the job ended.
    """

    job: Job
    writer: SheetsWriter
    reporter: Reporter
    reporting: ExitStack

    @property
    def is_unfinished(self) -> bool:
        """Whether anything is to be segmented."""
        return any(_unfinished([task], self.writer) for task in self.job.tasks)


def complete(jobs: Sequence[Job], settings: Inference, device: torch.device) -> None:
    """Segment what nobody has answered yet; without any, neither model nor GPU is needed.

    Args:
        jobs: of models of one kind, about the same images.
        settings: how the models are run.
        device: where.

    Raises UserError where more expressions of a job failed than are allowed, once all other jobs are published.
    """
    with stopped_by_signals(), ExitStack() as held:
        works = [_begun(job, held, several=len(jobs) > 1) for job in jobs]
        if unfinished := [work for work in works if work.is_unfinished]:
            _segment(unfinished, settings, device)
        if problems := [problem for work in works if (problem := _ended(work, settings.max_failures))]:
            raise UserError(" ".join(map(str, problems)))


def _begun(job: Job, held: ExitStack, *, several: bool) -> _Work:
    writer = held.enter_context(open_sheets(job.sheets, job.numbering))
    done, total = sum(not _unfinished([task], writer) for task in job.tasks), len(job.tasks)
    who = f"{job.model.name}: " if several else ""
    if done:
        print(
            f"{who}{done} of {total} images were answered by earlier jobs; {total - done} are segmented.",
            file=sys.stderr,
        )
    reporting = held.enter_context(ExitStack())
    reporter = reporting.enter_context(reported(job.shard, done=done, total=total, who=who))
    return _Work(job, writer, reporter, reporting)


def _ended(work: _Work, allowed: int) -> UserError | None:
    """Finish and publish the shards of a job; what is wrong with them."""
    try:
        with work.reporting.pop_all():
            for sheet, records in zip(work.job.sheets, work.writer.finish(), strict=True):
                _require_few_failures(sheet.shard, failures(records), allowed)
    except UserError as error:
        return error
    for each in work.job.wanted:
        (kept,) = (sheet.shard for sheet in work.job.sheets if sheet.is_of(each))
        if kept != Path(each.output):
            publish_shard(kept, Path(each.output))
    return None


def _segment(works: Sequence[_Work], settings: Inference, device: torch.device) -> None:
    """Predict, write and report what is missing, by as many models at once as find room."""

    def enter(state: str, on: str = "") -> None:
        for work in works:
            work.reporter.enter(state, on)

    with device_at_work(settings, device, partial(enter, WAITING)):
        while works:
            ahead = _shown_in_any_case(works)
            reading = (
                nullcontext() if ahead is None else _read(ahead, works[0].job.processor, settings, device)
            )
            # Processes that read are forked before the weights are there, and read while these are loaded.
            with reading as images:
                enter(LOADING, describe_device(device))
                with _ready(works, settings, device) as predictors:
                    now, works = works[: len(predictors)], works[len(predictors) :]
                    _predict(now, predictors, images, settings, device)
                del predictors
            gc.collect()  # modules refer to each other


def _shown_in_any_case(works: Sequence[_Work]) -> list[ImageTask] | None:
    """What is shown, in its order, however many images make a batch and however many models find room.

    None where it depends on them.
    """
    alone = [_shown([work], 1) for work in works]
    first, *others = [[task.image_id for task in shown] for shown in alone]
    if any(work.writer.interrupted for work in works) or any(each != first for each in others):
        return None
    return alone[0]


def _shown(works: Sequence[_Work], size: int) -> list[ImageTask]:
    """The images that any model is asked about yet, in the order of batches of this size."""
    whole = form_batches(works[0].job.tasks, size)
    asked = [_asked(_batches_left(work, size)) for work in works]
    return [task for batch in whole for task in batch if any(task.image_id in mine for mine in asked)]


def _batches_left(work: _Work, size: int) -> list[list[ImageTask]]:
    """Batches are those of the whole shard, whatever an earlier job finished: so are the masks."""
    return _left(form_batches(work.job.tasks, size), work.writer)


def _asked(batches: Sequence[Sequence[ImageTask]]) -> set[str]:
    return {task.image_id for batch in batches for task in batch}


def _predict(
    works: Sequence[_Work],
    predictors: Sequence[Predictor],
    ahead: Images,
    settings: Inference,
    device: torch.device,
) -> None:
    """Segment what is left; `ahead` are the images that are shown, where they are read already."""
    for work in works:
        require_unchanged(work.job.model, work.job.state)
    size = predictors[0].batch_size
    left = [_batches_left(work, size) for work in works]
    shown = _shown(works, size)
    reading = _read(shown, works[0].job.processor, settings, device) if ahead is None else nullcontext(ahead)
    with (
        reading as images,
        closing(
            predict_in_turn(predictors, left, _shown_to_each(images, shown, list(map(_asked, left))))
        ) as predictions,
        compiled_where_it_pays(predictors, left, works[0].job.model, settings, device) as with_so_many_left,
    ):
        images_left = sum(map(len, left[0]))
        for number, predicted in predictions:
            work = works[number]
            kept = [each for each in predicted if each[0].sent_id not in work.writer.finished]
            work.writer.append(kept)
            work.reporter.advance(
                images=len({prediction.image_id for prediction, _ in kept}),
                failures=len(failures(prediction for prediction, _ in kept)),
                memory=peak_memory(device),
            )
            if number == 0:
                images_left -= len({prediction.image_id for prediction, _ in predicted})
                with_so_many_left(images_left)


@contextmanager
def _ready(works: Sequence[_Work], settings: Inference, device: torch.device) -> Iterator[list[Predictor]]:
    """The models of the first works, as many as find room, and the batch size that fits."""
    folders = {work.job.model: work.job.shard for work in works}
    with ExitStack() as held:
        with _warmed_up(works[0].job, settings, device):
            models = held.enter_context(
                loaded_series(folders, settings=settings, device=device, tasks=works[0].job.tasks)
            )
        turns = Turns(Looks(shared_towers(models)))
        predictors = []
        for work, model in zip(works, models, strict=False):
            job, shards = work.job, [sheet.shard for sheet in work.job.sheets]
            drafts = known_drafts(settings.draft, job.processor, *shards)
            segmenter = Segmenter(model, job.processor, settings.max_new_tokens, drafts, turns.looks)
            questions = job.numbering.questions
            predictors.append(
                Predictor(segmenter, job.processor, questions, flips=settings.flips, turns=turns)
            )
        size = settings.batch_size or fitting_batch_size(
            works[0].job.tasks,
            partial(rehearse_in_turn, predictors),
            device,
            flips=settings.flips,
            models=len(models),
        )
        for work, model, predictor in zip(works, models, predictors, strict=False):
            predictor.batch_size = size
            predictor.paths.clear()  # those were no job's
            if settings.compiled == "yes":
                predictor.compile()
            state = WARMING_UP if settings.compiled == "yes" else RUNNING
            work.reporter.enter(state, describe_device(device, getattr(model, "hf_device_map", None)))
        try:
            yield predictors
        finally:
            for work, predictor in zip(works, predictors, strict=False):
                for sheet in work.job.sheets:
                    note_paths(sheet.shard, predictor.paths)


def _warmed_up(job: Job, settings: Inference, device: torch.device) -> AbstractContextManager[None]:
    questions = job.numbering.questions
    prompts = [prompt_of(questions[each.sent_id], each.phrase) for each in job.tasks[0].expressions]
    return warmed_up(job.model, job.tasks, prompts, job.processor, settings=settings, device=device)


@contextmanager
def _read(
    tasks: Sequence[ImageTask], processor: Sa2VAProcessor, settings: Inference, device: torch.device
) -> Iterator[Images]:
    """The images of tasks, one after the other; on the CPU one process reads and the others compute.

    None where flips are asked for: whoever flips an image reads it first.
    """
    if settings.flips:
        yield None
        return
    on_gpu = device.type == "cuda"
    readers = (settings.threads or usable_cores()) if on_gpu else 1
    with read_images(tasks, processor, readers=readers, pinned=on_gpu) as images:
        yield images


def _shown_to_each(images: Images, shown: Sequence[ImageTask], asked: Sequence[set[str]]) -> list[Images]:
    """Of images that are read once, those that each job asks about."""
    if images is None:
        return [None for _ in asked]
    copies = zip(tee(images, len(asked)), asked, strict=True)

    def of(copy: Shown, mine: set[str]) -> Shown:
        return (image for task, image in zip(shown, copy, strict=False) if task.image_id in mine)

    return [of(copy, mine) for copy, mine in copies]


def _left(batches: Sequence[Sequence[ImageTask]], writer: SheetsWriter) -> list[list[ImageTask]]:
    """What of each batch is not answered; the one in which a job was killed is segmented whole once more."""
    left = []
    for batch in batches:
        missing = _unfinished(batch, writer)
        if missing and writer.interrupted & {each.sent_id for task in batch for each in task.expressions}:
            left.append([*batch])
        else:
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
