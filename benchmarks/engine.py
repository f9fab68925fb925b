"""The engine from files to a shard on the disk, on synthetic frames, as several benchmarks run it."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import chain
from pathlib import Path

import torch
from PIL import Image

from refvessel.cores import usable_cores
from refvessel.dataset.tree.expressions import Expression
from refvessel.demo.angiogram import angiogram
from refvessel.inference.drafts import Drafts
from refvessel.inference.plan import ImageTask
from refvessel.inference.predictor import Predictor
from refvessel.inference.reading import read_images
from refvessel.inference.segmenter import Segmenter
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.processing import Sa2VAProcessor
from refvessel.settings.inference_section import Inference

PHRASES = ("blood vessel", "catheter", "left coronary artery", "side branch")


def frames(folder: Path, count: int, size: int, expressions: int) -> list[ImageTask]:
    """Synthetic frames as PNG files of size x size, each with as many expressions."""
    folder.mkdir()
    drawn = [Image.fromarray(angiogram(7, number, 1).image).resize((size, size)) for number in range(8)]
    paths = [folder / f"{number:05d}.png" for number in range(count)]
    with ThreadPoolExecutor(usable_cores()) as pool:
        list(pool.map(lambda number: drawn[number % len(drawn)].save(paths[number]), range(count)))
    return [
        ImageTask(
            tuple(
                Expression(
                    image_id=path.stem,
                    ref_id=number,
                    sent_id=number * expressions + index,
                    phrase=PHRASES[index],
                    patient=path.stem,
                    height=size,
                    width=size,
                    truth={},
                    image_path=path,
                )
                for index in range(expressions)
            )
        )
        for number, path in enumerate(paths)
    ]


def make_predictor(model: Sa2VAModel, processor: Sa2VAProcessor, batch: int) -> Predictor:
    """A predictor that expects the usual answer, with batches of so many images."""
    settings = Inference()
    drafts = Drafts(processor.answer_ids(settings.draft), processor.stop_token_ids)
    segmenter = Segmenter(model, processor, settings.max_new_tokens, drafts)
    return Predictor(segmenter, processor, settings.question, batch)


def engine_seconds(
    predictor: Predictor,
    processor: Sa2VAProcessor,
    tasks: list[ImageTask],
    batch: int,
    shard: Path,
    *,
    before: list[ImageTask],
    behind: list[ImageTask],
) -> tuple[float, float, int]:
    """Seconds of what runs before, seconds from files to a shard on the disk, and the number of drafts accepted.

    All is one run, and counted from where a batch is on the disk to where another is.
    """
    parts = [
        [part[start : start + batch] for start in range(0, len(part), batch)]
        for part in (before, tasks, behind)
    ]
    batches = [*chain.from_iterable(parts)]
    everything = [*before, *tasks, *behind]
    first, last = len(parts[0]), len(parts[0]) + len(parts[1])
    accepted = 0
    on_gpu = torch.cuda.is_available()
    begin = warm = end = time.perf_counter()
    reading = read_images(everything, processor, readers=usable_cores() if on_gpu else 1, pinned=on_gpu)
    with (
        reading as images,
        closing(predictor.predict_all(batches, images)) as predictions,
        shard.open("w") as stream,
    ):
        for number, predicted in enumerate(predictions, start=1):
            stream.writelines(prediction.to_line() for prediction, _ in predicted)
            stream.flush()
            os.fsync(stream.fileno())
            assert all(prediction.status == "ok" for prediction, _ in predicted), predicted[0][0].error
            if number == first:
                warm = time.perf_counter()
            elif first < number <= last:
                end = time.perf_counter()
                accepted += sum(prediction.drafted for prediction, _ in predicted)
    return warm - begin, end - warm, accepted
