"""Segmenting sequences with SAM2's memory: from frames and a model on the disk to predictions on the disk.

A sequence is finished whole: a job that is killed continues with the first group of sequences that is not.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from refvessel.artifacts import SHARD_SUFFIX
from refvessel.checkpoint.official_folder import read_official_folder
from refvessel.checkpoint.sam2_tensors import read_sam2_tensors
from refvessel.code import code_hash
from refvessel.cores import usable_cores
from refvessel.dataset.tree.expressions import Sentence
from refvessel.errors import UserError
from refvessel.files import sha256_of_file
from refvessel.inference.devices import (
    choose_device,
    choose_dtype,
    describe_device,
    peak_memory,
    require_working_gpu,
)
from refvessel.inference.drafts import known_drafts
from refvessel.inference.failures import Failure, attempted
from refvessel.inference.frame_reading import Frames, choose_frames, read_groups
from refvessel.inference.loaded_model import model_at_work
from refvessel.inference.plan import parse_shard
from refvessel.inference.segmenter import Segmenter
from refvessel.inference.sequence_plan import SequenceGroup, SequenceTask, form_groups, plan_sequences
from refvessel.inference.sequence_records import frame_record
from refvessel.inference.sequence_segmenter import SequenceAnswer, SequenceSegmenter
from refvessel.jobs.progress import RUNNING, WARMING_UP, Reporter, reported
from refvessel.jobs.signals import stopped_by_signals
from refvessel.model.compilation import compile_blocks
from refvessel.model.configuration import read_config
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.original_sam2 import original_sam2
from refvessel.model.processing import Sa2VAProcessor
from refvessel.model.video_memory import VideoMemory, require_video
from refvessel.predictions.asked import Asked
from refvessel.predictions.identity import (
    ModelIdentity,
    answer_identity,
    hashes_of_files,
    identify,
    require_unchanged,
    sequence_identity,
)
from refvessel.predictions.prediction import Prediction, failures
from refvessel.predictions.run_file import Run
from refvessel.predictions.shard import ShardWriter, open_shard, publish_shard
from refvessel.prompts import prompt_of
from refvessel.provenance import versions
from refvessel.settings.inference_section import Inference
from refvessel.settings.video_section import Video

# The modules that make an answer, with what they import.
ANSWERING = (
    "refvessel.inference.sequence_segmenter",
    "refvessel.inference.frame_reading",
    "refvessel.inference.loaded_model",
    "refvessel.model.compilation",
    "refvessel.model.original_sam2",
)
_COMPUTING = ("torch", "transformers", "pillow", "numpy")  # an answer of theirs may depend on the version
_LOGITS_HELD = 64  # masks whose logits are written at once, 131 KB each
_DIGITS = 16  # of an identity, that tell folders apart
_ON_A_GPU = {"encoded_ahead": 32, "together": 8}

Settled = dict[tuple[str, str], SequenceAnswer | Failure]  # by sequence and expression


def segment_sequences(
    *,
    model: Path,
    tasks: Sequence[SequenceTask],
    name: str,
    split: str,
    output: Path,
    shard: str = "1/1",
    answers: Path | None = None,
    sam2: Path | None = None,
    settings: Inference,
    video: Video,
) -> None:
    """Segment the sequences of one shard, and write the predictions of their frames to `output`.

    What an earlier job answered is kept where frames, question, model, code and settings are the same.

    Args:
        model: official Hugging Face folder.
        tasks: all sequences of the split.
        name: what they are called in the names of kept shards.
        split: its name.
        output: the shard, JSON lines.
        shard: `2/8` is the second shard of eight.
        answers: folder where finished answers are kept for later jobs; `output` is then written at the end.
        sam2: SAM2's own checkpoint (.pt), for the propagation sa2va-i.
        settings: how the model is run; its question, flips and batch size do not count here.
        video: how sequences are segmented.

    Raises:
        UserError: for bad input, or more failures than allowed (the answers are kept; a rerun tries those again).
    """
    device = choose_device(settings.device)
    settings.weights_memory(device.type)  # refused here, where the device is known
    _require_consistent(model, tasks, sam2, settings, video)
    mine = plan_sequences([task for task in tasks if task.expressions], *parse_shard(shard))
    found = identify(model)  # beside the checks: it reads all weights, where nothing states their hash
    read_official_folder(model)
    identified = found.result()
    run = _run(settings, video, sam2, device, identified, split=split, shard=shard)
    kept = Path(output)
    if answers is not None:
        called = f"{Path(model).name}.{name}.{shard.replace('/', '-of-')}.sequences"
        kept = Path(answers) / run.identity[:_DIGITS] / f"{called}{SHARD_SUFFIX}"
    job = _Job(
        model=Path(model),
        sam2=sam2,
        processor=Sa2VAProcessor.from_pretrained(model),
        shard=kept,
        tasks=mine,
        settings=settings,
        video=video,
        device=device,
    )
    asked = _asked_of(mine, run.identity, video)
    with stopped_by_signals(), open_shard(kept, run, asked, answers and kept.parent) as writer:
        left = sum(task.length for task in mine if _unfinished(task, writer))
        total = sum(task.length for task in mine)
        if left < total:
            print(
                f"{total - left} of {total} frames were answered by earlier jobs; {left} are segmented.",
                file=sys.stderr,
            )
        with reported(kept, done=total - left, total=total) as reporter:
            if left:
                _segment(job, writer, reporter, partial(require_unchanged, Path(model), identified.state))
            failed = failures(writer.finish())
            _require_few_failures(kept, failed, mine, settings.max_failures)
    if answers is not None:
        publish_shard(kept, Path(output))


@dataclass(frozen=True)
class _Job:
    """A shard of sequences to be completed.

    model: official Hugging Face folder.
    sam2: SAM2's own checkpoint, or None.
    processor: the model's.
    shard: where the lines are kept.
    tasks: its sequences.
    settings: how the model is run.
    video: how sequences are segmented.
    device: where.
    """

    model: Path
    sam2: Path | None
    processor: Sa2VAProcessor
    shard: Path
    tasks: Sequence[SequenceTask]
    settings: Inference
    video: Video
    device: torch.device

    @property
    def on_gpu(self) -> bool:
        """Whether a GPU computes."""
        return self.device.type == "cuda"

    def number(self, setting: str) -> int:
        """A setting of `video` that stands for itself, or for what suits the device."""
        stated: int | None = getattr(self.video, setting)
        return stated or (_ON_A_GPU[setting] if self.on_gpu else 1)


def _segment(job: _Job, writer: ShardWriter, reporter: Reporter, loaded: Callable[[], None]) -> None:
    """Segment, write and report the groups that are not finished; `loaded` is called once the model is."""
    readers = (job.settings.threads or usable_cores()) if job.on_gpu else 1
    # The groups are those of the whole shard, whatever an earlier job finished: so are the masks.
    shown = choose_frames(job.tasks, job.video, readers=readers)
    groups = [
        group
        for group in form_groups(job.tasks, shown, job.number("together"))
        if any(_unfinished(task, writer) for task in group.tasks)
    ]
    with (
        _ready(job, reporter) as segmenter,
        read_groups(groups, job.processor, readers=readers, pinned=job.on_gpu) as frames,
    ):
        loaded()
        for group in groups:
            begin = time.perf_counter()
            mine = islice(frames, len(group.tasks) + len(group.reads))
            settled = _settled(job, segmenter, writer, group, mine)
            for _ in mine:  # of a group that failed, or in which nothing is tracked
                pass
            missing = [each for task in group.tasks for each in _recorded(task, job.video, settled, writer)]
            share = round((time.perf_counter() - begin) / max(len(missing), 1), 4)
            writer.append([frame_record(*each, share) for each in missing])
            reporter.advance(
                images=sum(task.length for task in group.tasks),
                failures=sum(isinstance(each, Failure) for each in settled.values()),
                memory=peak_memory(job.device),
            )


@contextmanager
def _ready(job: _Job, reporter: Reporter) -> Iterator[SequenceSegmenter]:
    """The model on its devices, which it holds until the block ends."""
    at_work = model_at_work(job.model, job.shard, settings=job.settings, device=job.device, reporter=reporter)
    with at_work as model:
        original = _original(model, job.sam2) if job.video.propagation == "sa2va-i" else None
        if job.settings.compiled:
            compile_blocks(model)
        drafts = known_drafts(job.settings.draft, job.processor, job.shard)
        segmenter = SequenceSegmenter(
            model,
            Segmenter(model, job.processor, job.settings.max_new_tokens, drafts),
            original=original and original(),
            encoded_ahead=job.number("encoded_ahead"),
            keep_logits=job.settings.save_logits,
        )
        reporter.enter(WARMING_UP if job.settings.compiled else RUNNING, describe_device(job.device))
        yield segmenter


def _original(model: Sa2VAModel, sam2: Path | None) -> Callable[[], VideoMemory]:
    """What makes SAM2 as it was before fine-tuning, once the model is compiled."""
    assert sam2 is not None
    original = original_sam2(model.grounding_encoder, read_sam2_tensors(sam2), str(sam2))
    narrow = original.mask_decoder.conv_s0, original.mask_decoder.conv_s1
    return lambda: VideoMemory(original, model.image_encoder.narrowed(narrow), blanks=True)


class _LogitsOnTheWay:
    """Stores the logits of a group's masks, some at a time, whatever the sequences' length."""

    def __init__(self, group: SequenceGroup, writer: ShardWriter) -> None:
        self._group = group
        self._writer = writer
        self._held: dict[int, np.ndarray] = {}

    def take(self, sequence: int, prompt: int, place: int, logits: np.ndarray) -> None:
        """The logits of one mask, (size/4, size/4)."""
        task = self._group.tasks[sequence]
        sentence = task.asked[task.expressions[prompt].id].get(place)
        if sentence is not None and sentence.sent_id not in self._writer.finished:
            self._held[sentence.sent_id] = logits[None]
        if len(self._held) >= _LOGITS_HELD:
            self.store()

    def store(self) -> None:
        """Write what is held."""
        self._writer.keep_logits(self._held)
        self._held = {}


def _settled(
    job: _Job, segmenter: SequenceSegmenter, writer: ShardWriter, group: SequenceGroup, frames: Frames
) -> Settled:
    """What becomes of each expression; what fails is tried again apart, and one that fails alone has failed."""
    prompts = [_prompts(task, job.video) for task in group.tasks]
    logits = _LogitsOnTheWay(group, writer)
    outcome = attempted(lambda: segmenter.segment(group, prompts, frames, logits.take))
    logits.store()
    if not isinstance(outcome, Failure):
        return {
            (task.name, expression.id): answer
            for task, answers in zip(group.tasks, outcome, strict=True)
            for expression, answer in zip(task.expressions, answers, strict=True)
        }
    require_working_gpu()
    if outcome.short_of_memory:
        segmenter.encoded_ahead = max(1, segmenter.encoded_ahead // 2)
        torch.cuda.empty_cache()
    settled: Settled = {}
    parts = group.parts()
    for part in parts:
        with read_groups([part], job.processor, readers=0, pinned=False) as again:
            settled |= _settled(job, segmenter, writer, part, again)
    if not parts:
        (task,) = group.tasks
        settled = {(task.name, task.expressions[0].id): outcome}
    return settled


def _recorded(
    task: SequenceTask, video: Video, settled: Settled, writer: ShardWriter
) -> Iterator[tuple[Sentence, int, str, SequenceAnswer | Failure]]:
    """What of a sequence has no record yet, and what becomes of it."""
    for expression, prompt in zip(task.expressions, _prompts(task, video), strict=True):
        for place, sentence in task.asked[expression.id].items():
            if sentence.sent_id not in writer.finished:
                yield sentence, place, prompt, settled[task.name, expression.id]


def _prompts(task: SequenceTask, video: Video) -> list[str]:
    return [prompt_of(video.question_for(each.text), each.text) for each in task.expressions]


def _asked_of(tasks: Sequence[SequenceTask], run_identity: str, video: Video) -> list[Asked]:
    """What the frames of sequences ask in a run, in order."""
    hashes = hashes_of_files(path for task in tasks for path in task.files.paths)
    asked = []
    for task in tasks:
        frames = [hashes[path] for path in task.files.paths]
        for expression, prompt in zip(task.expressions, _prompts(task, video), strict=True):
            asked += [
                Asked(
                    each.image_id,
                    each.ref_id,
                    each.sent_id,
                    each.phrase,
                    answer_identity(run_identity, sequence_identity(frames, place), prompt),
                )
                for place, each in task.asked[expression.id].items()
            ]
    return asked


def _unfinished(task: SequenceTask, writer: ShardWriter) -> bool:
    return any(each.sent_id not in writer.finished for each in task.sentences)


def _require_consistent(
    model: Path, tasks: Sequence[SequenceTask], sam2: Path | None, settings: Inference, video: Video
) -> None:
    """Raise UserError for what cannot be right, before anything is read that takes time."""
    if settings.flips:
        raise UserError("inference.flips is set, but sequences are segmented without flips; leave it out.")
    if (video.propagation == "sa2va-i") != (sam2 is not None):
        raise UserError(
            "the propagation sa2va-i takes SAM2's own checkpoint, and no other does; give sam2 with it, and "
            "leave it out without."
        )
    if all(task.length <= video.frames for task in tasks):
        return  # all frames are shown, and none is tracked
    config = read_config(model).sam2_config()
    require_video(config.memory_encoder_output_channels, config.memory_attention_hidden_size, str(model))


def _run(
    settings: Inference,
    video: Video,
    sam2: Path | None,
    device: torch.device,
    model: ModelIdentity,
    **of_what: str,
) -> Run:
    return Run(
        **of_what,
        model=model.sha256,
        model_from=model.taken_from,
        question=video.phrase_question,
        dtype=str(choose_dtype(settings.dtype, device)).removeprefix("torch."),
        device=device.type,
        language_weights=settings.language_weights,
        batch_size=video.encoded_ahead,
        draft=settings.draft,
        max_new_tokens=settings.max_new_tokens,
        flips=False,
        compiled=settings.compiled,
        save_logits=settings.save_logits,
        code=code_hash(*ANSWERING),
        versions={name: version for name, version in versions().items() if name in _COMPUTING},
        video=video.result_settings() | {"sam2": None if sam2 is None else sha256_of_file(sam2)},
    )


def _require_few_failures(
    output: Path, failed_records: Sequence[Prediction], tasks: Sequence[SequenceTask], allowed: int
) -> None:
    """Raise UserError where more expressions failed than are allowed, each in all frames of its sequence."""
    failed = {each.sent_id: each for each in failed_records}
    of_expressions = [
        (task.name, next(iter(failed[each.sent_id] for each in of_frames.values() if each.sent_id in failed)))
        for task in tasks
        for of_frames in task.asked.values()
        if any(each.sent_id in failed for each in of_frames.values())
    ]
    if len(of_expressions) > allowed:
        name, first = of_expressions[0]
        raise UserError(
            f"{output}: {len(of_expressions)} expressions failed, more than the {allowed} allowed by "
            f"max_failures; the first is {first.phrase!r} on {name} ({first.error}); mend it and run again."
        )
