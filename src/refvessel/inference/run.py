"""Segmenting one shard of a split: from a tree and a model on the disk to predictions on the disk."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import torch

from refvessel.artifacts import SHARD_SUFFIX
from refvessel.checkpoint.official_folder import read_official_folder
from refvessel.code import code_hash
from refvessel.dataset.tree.expressions import Sentence, read_expressions
from refvessel.errors import UserError
from refvessel.inference.completing import Job, complete
from refvessel.inference.devices import choose_device, choose_dtype
from refvessel.inference.kernel_folder import keep_kernels
from refvessel.inference.plan import ImageTask, parse_shard, plan_shard
from refvessel.inference.sheets import Numbering, Sheet, Wanted
from refvessel.jobs.gpus import visible_gpus
from refvessel.model.configuration import read_config
from refvessel.model.processing import Sa2VAProcessor
from refvessel.model.sharing import require_one_kind
from refvessel.predictions.asked import asked_of
from refvessel.predictions.identity import ModelIdentity, hashes_of_files, identify
from refvessel.predictions.run_file import Run
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
    segment_series(
        models={model: wanted}, dataset=dataset, split=split, shard=shard, answers=answers, settings=settings
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
    _segment_by_all(
        models={model: wanted},
        sentences=sentences,
        name=name,
        split=split,
        shard=shard,
        answers=answers,
        settings=settings,
    )


def segment_series(
    *,
    models: Mapping[Path, Sequence[Wanted]],
    dataset: Path,
    split: str,
    shard: str = "1/1",
    answers: Path | None = None,
    settings: Inference,
) -> None:
    """As `segment_questions`, by several models of one family and size, best by checkpoints of one training run.

    What is equal in them is in memory once, and what towers with equal tensors see in an image is computed once.
    Each shard is the one that its model alone would write in the same batches, whatever becomes of the others.

    Args:
        models: official Hugging Face folder -> the shards that it is to write.
        dataset: official RefCOCO tree.
        split: a split of the tree.
        shard: as of `segment_shard`.
        answers: as of `segment_shard`.
        settings: how the models are run; not their question.

    Raises:
        UserError: as `segment_shard`; for models of different families or sizes; for such as are to be spread over
            devices.
    """
    _segment_by_all(
        models=models,
        sentences=read_expressions(dataset, split),
        name=f"{Path(dataset).name}.{split}",
        split=split,
        shard=shard,
        answers=answers,
        settings=settings,
    )


def _segment_by_all(
    *,
    models: Mapping[Path, Sequence[Wanted]],
    sentences: Sequence[Sentence],
    name: str,
    split: str,
    shard: str,
    answers: Path | None,
    settings: Inference,
) -> None:
    device = choose_device(settings.device)
    if device.type == "cuda":
        keep_kernels(answers or next(Path(each.output).parent for mine in models.values() for each in mine))
        # Beside the checks: another process asks the driver, and files are read.
        Thread(target=visible_gpus, daemon=True).start()
        Thread(target=_read_compiler, daemon=True).start()
    # Refused here, where the device is known.
    if settings.weights_memory(device.type) is not None and len(models) > 1:
        raise UserError(
            "several models at once need each whole on one GPU; leave out device_map and gpus_per_job above 1, or "
            "segment each by itself."
        )
    part = parse_shard(shard)
    identities = {model: identify(model) for model in models}  # beside the checks: all weights may be read
    for model in models:
        read_official_folder(model)
    processors = {model: Sa2VAProcessor.from_pretrained(model) for model in models}
    if len(models) > 1:
        require_one_kind({str(model): read_config(model) for model in models}, [*processors.values()])
    tasks = plan_shard(sentences, *part, next(iter(processors.values())).layout)
    expressions = [expression for task in tasks for expression in task.expressions]
    images = hashes_of_files(each.image_path for each in expressions)
    code = code_hash(*ANSWERING)

    def job(model: Path) -> Job:
        identity = identities[model].result()
        run_of = partial(_run, settings, device, identity, code=code, split=split, shard=shard)
        kept_as = f"{Path(model).name}.{name}.{shard.replace('/', '-of-')}"
        sheets: list[Sheet] = []
        for each in models[model]:
            if not any(sheet.is_of(each) for sheet in sheets):
                mine = expressions if each.words is None else _asked_besides(sentences, tasks, each.words)
                sheets.append(_sheet(each, mine, images, run_of(question=each.question), answers, kept_as))
        numbering = Numbering(sheets)
        return Job(
            model=model,
            state=identity.state,
            processor=processors[model],
            sheets=sheets,
            numbering=numbering,
            tasks=plan_shard(numbering.expressions, 1, 1, processors[model].layout),
            wanted=models[model],
        )

    complete([job(model) for model in models], settings, device)


def _sheet(
    wanted: Wanted,
    expressions: Sequence[Sentence],
    images: Mapping[Path, str],
    run: Run,
    answers: Path | None,
    kept_as: str,
) -> Sheet:
    """What a shard answers, and where it is kept until it is published; `images` are the hashes of their files."""
    if wanted.words is not None:
        run = replace(run, save_logits=False)  # nothing is made of them
    folder = None if answers is None else Path(answers) / run.identity[:_DIGITS]
    kept = Path(wanted.output) if folder is None else folder / f"{kept_as}{wanted.suffix}{SHARD_SUFFIX}"
    asked = asked_of(expressions, run.identity, wanted.question, images)
    return Sheet(wanted, kept, folder, expressions, asked, run)


def _read_compiler() -> None:
    from refvessel.model.triton_launching import read_compiler  # Triton comes with PyTorch for GPUs only

    read_compiler()


def _asked_besides(
    expressions: Sequence[Sentence], tasks: Sequence[ImageTask], words: Words
) -> list[Sentence]:
    """The cases of a split that are about these images."""
    image_ids = {task.image_id for task in tasks}
    return [case.asked for case in word_cases(expressions, words) if case.asked.image_id in image_ids]


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
        versions={name: version for name, version in versions().items() if name in _COMPUTING},
    )
