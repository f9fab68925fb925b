"""Segmenting one shard of a split: from a tree and a model on the disk to predictions on the disk."""

from collections.abc import Generator, Mapping
from contextlib import ExitStack, closing
from itertools import chain
from pathlib import Path

import torch
from transformers import logging as transformers_logging

from refvessel.dataset.loader import QUESTION
from refvessel.dataset.tree import read_expressions
from refvessel.errors import UserError
from refvessel.inference.batches import BatchSize, fitting_batch_size, form_batches
from refvessel.inference.devices import choose_device, choose_dtype, describe_device, peak_memory
from refvessel.inference.drafts import EXPECTED, Drafts
from refvessel.inference.gpus import claimed_gpus
from refvessel.inference.identity import dataset_identity, model_identity
from refvessel.inference.loading import loaded_model
from refvessel.inference.plan import ImageTask, parse_shard, plan_shard
from refvessel.inference.predictor import Predictor
from refvessel.inference.progress import LOADING, RUNNING, WAITING, reported
from refvessel.inference.reading import cores, read_images
from refvessel.inference.records import failures, read_shard
from refvessel.inference.segmenter import Segmenter
from refvessel.inference.shard import Run, ShardWriter, open_shard
from refvessel.inference.signals import stopped_by_signals
from refvessel.inference.spreading import stated_memory
from refvessel.model.compilation import compile_blocks
from refvessel.model.processing import IMAGE_PLACEHOLDER, ProcessedImage, Sa2VAProcessor
from refvessel.model.quantisation import LANGUAGE_WEIGHTS
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
    gpus_per_job: int = 1,
    device_map: str | None = None,
    max_memory: Mapping[int | str, str] | None = None,
    language_weights: str | None = None,
    batch_size: int | None = None,
    threads: int | None = None,
    draft: str | None = EXPECTED,
    max_new_tokens: int = 2048,
    question: str = QUESTION,
    flips: bool = False,
    compiled: bool = False,
    save_logits: bool = False,
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
        gpus_per_job: free GPUs that the job takes, where it runs on any; several share the model.
        device_map: auto spreads the model over the job's GPUs, the host's memory and the disk, as far as it must.
        max_memory: GPU number within the job or cpu -> what weights may take of it, e.g. 20GiB.
        language_weights: int8 or float8 for the language model's linear layers; None: in `dtype`.
        batch_size: images a batch, fewer where they do not fit into memory; None: what fits, 4 on the CPU.
        threads: cores that the job uses, to read images for a GPU or to compute; None: all it may use.
        draft: the answer that is expected at first, later it is the most frequent one; None: none is.
        max_new_tokens: the longest answer.
        question: the prompt, with `<image>` and `{phrase}`.
        flips: average the logits over each image and its three flips (test-time augmentation).
        compiled: compile the model's blocks first; pays on a GPU, for many images.
        save_logits: store the masks' logits beside the shard.
        max_failures: how many failed expressions a finished shard may hold.

    Raises:
        UserError: for bad input, or more failures than allowed (the shard is kept; a rerun tries those again).
    """
    _check_question(question)
    if batch_size is not None and batch_size < 1:
        raise UserError(f"the batch size is {batch_size}; give at least 1.")
    if language_weights not in (None, *LANGUAGE_WEIGHTS):
        raise UserError(f"language_weights is {language_weights!r}; give {' or '.join(LANGUAGE_WEIGHTS)}.")
    device = choose_device(device)
    if threads and device.type == "cpu":
        torch.set_num_threads(threads)
    dtype = choose_dtype(dtype, device)
    stated = stated_memory(
        device_map=device_map,
        max_memory=max_memory,
        gpus_per_job=gpus_per_job,
        device=device.type,
        compiled=compiled,
    )
    tasks = plan_shard(read_expressions(dataset, split), *parse_shard(shard))
    run = Run(
        model=model_identity(model),
        dataset=dataset_identity(dataset),
        split=split,
        shard=shard,
        question=question,
        dtype=str(dtype).removeprefix("torch."),
        device=device.type,
        language_weights=language_weights,
        batch_size=batch_size,
        draft=draft,
        max_new_tokens=max_new_tokens,
        flips=flips,
        compiled=compiled,
        save_logits=save_logits,
        versions=versions(),
    )
    processor = Sa2VAProcessor.from_pretrained(model)
    # What is wrong with a model is told by an error, once.
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    with stopped_by_signals(), open_shard(output, run) as writer:
        pending = [task for task in tasks if _unfinished([task], writer)]
        done = len(tasks) - len(pending)
        with reported(output, done=done, total=len(tasks)) as reporter, ExitStack() as held:
            if pending:
                if device.type == "cuda":
                    held.enter_context(claimed_gpus(gpus_per_job, lambda: reporter.enter(WAITING)))
                reporter.enter(LOADING, describe_device(device))
                loaded = held.enter_context(
                    loaded_model(
                        model,
                        output,
                        dtype=dtype,
                        device=device,
                        stated=stated,
                        language_weights=language_weights,
                    )
                )
                segmenter = Segmenter(loaded, processor, max_new_tokens, _drafts(draft, processor, output))
                predictor = Predictor(segmenter, processor, question, flips=flips)
                size = batch_size or fitting_batch_size(tasks, predictor.predict, device)
                predictor.batch_size = BatchSize(size)
                if compiled:
                    compile_blocks(loaded)
                # Batches are those of the whole shard, whatever an earlier job finished: so are the masks.
                batches = [batch for batch in form_batches(tasks, size) if _unfinished(batch, writer)]
                images = None
                if not flips:
                    images = held.enter_context(closing(_read(batches, processor, threads, device)))
                reporter.enter(RUNNING, describe_device(device, getattr(loaded, "hf_device_map", None)))
                predictions = held.enter_context(closing(predictor.predict_all(batches, images)))
                for batch, predicted in zip(batches, predictions, strict=True):
                    missing = _unfinished(batch, writer)
                    kept = [each for each in predicted if each[0].sent_id in missing]
                    writer.append(kept)
                    failed = failures(prediction for prediction, _ in kept)
                    reporter.advance(
                        images=len({prediction.image_id for prediction, _ in kept}),
                        failures=len(failed),
                        memory=peak_memory(device),
                    )
            writer.finish()
            _require_few_failures(output, max_failures)


def _check_question(question: str) -> None:
    if question.count(IMAGE_PLACEHOLDER) != 1 or question.count("{phrase}") != 1:
        raise UserError(
            f"the question {question!r} must hold {IMAGE_PLACEHOLDER} and {{phrase}} exactly once each; add them."
        )


def _drafts(draft: str | None, processor: Sa2VAProcessor, output: Path) -> Drafts | None:
    """What answers to expect, knowing those that an earlier job has got."""
    if draft is None:
        return None
    drafts = Drafts(processor.answer_ids(draft), processor.stop_token_ids)
    drafts.observe(processor.answer_ids(prediction.answer) for prediction in read_shard(output))
    return drafts


def _read(
    batches: list[list[ImageTask]], processor: Sa2VAProcessor, threads: int | None, device: torch.device
) -> Generator[ProcessedImage | UserError, None, None]:
    """The batches' images; on the CPU one process reads and the others compute."""
    on_gpu = device.type == "cuda"
    readers = (threads or cores()) if on_gpu else 1
    return read_images([*chain.from_iterable(batches)], processor, readers=readers, pinned=on_gpu)


def _unfinished(batch: list[ImageTask], writer: ShardWriter) -> set[int]:
    return {each.sent_id for task in batch for each in task.expressions} - writer.finished


def _require_few_failures(output: Path, allowed: int) -> None:
    failed = failures(read_shard(output))
    if len(failed) > allowed:
        first = failed[0]
        raise UserError(
            f"{output}: {len(failed)} expressions failed, more than the {allowed} allowed by max_failures; "
            f"the first is {first.phrase!r} on {first.image_id} ({first.error}); mend it and run again."
        )
