"""What many phrases about one image cost beside one.

    python benchmarks/phrases.py [--phrases 16] [--rounds 9] [--size 512]
    PYTHONPATH=src:tools python benchmarks/phrases.py --family internvl    # on a GPU

Each round segments one image with the first phrase and with all of them, from the file to prediction records:
with the demo's model in one thread of the CPU, or with random weights of an 8B's shapes on a GPU. They take turns,
so that a busy machine is busy for both. Loading the model is in neither.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from engine import frames, make_predictor

from refvessel.checkpoint.convert import convert_checkpoint
from refvessel.inference.plan import ImageTask
from refvessel.inference.predictor import Predictor
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.processing import Sa2VAProcessor
from refvessel.settings.model_section import Model

DEMO = Path(__file__).resolve().parents[1] / "data" / "demo"
WORDS = ("blood vessel", "catheter", "left coronary artery", "side branch")
ADDED = ("", " in the upper half", " that is widest", " next to the spine")


def phrases(count: int) -> list[str]:
    """Distinct phrases of different lengths."""
    several = [f"{word}{added}" for added in ADDED for word in WORDS]
    return [several[number % len(several)] + " again" * (number // len(several)) for number in range(count)]


def seconds(predictor: Predictor, task: ImageTask) -> tuple[float, float]:
    """Wall and CPU seconds of one image."""
    wall, cpu = time.perf_counter(), time.process_time()
    predicted = predictor.predict([task])
    assert all(record.status == "ok" for record, _ in predicted), predicted[0][0].error
    return time.perf_counter() - wall, time.process_time() - cpu


@contextmanager
def model_of(arguments: argparse.Namespace) -> Iterator[tuple[Sa2VAModel, Sa2VAProcessor]]:
    """The demo's model in float32 on the CPU, or random weights of an 8B's shapes on a GPU."""
    if arguments.family:
        from full_size import random_model

        yield random_model("cuda", arguments.family)
        return
    torch.set_num_threads(1)
    (checkpoint,), (sam2,) = DEMO.glob("iter_*.pth"), DEMO.glob("sam2_*.pt")
    layers = {"base_mllm": DEMO / "base_mllm", "sam2": sam2, "checkpoint": checkpoint}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        convert_checkpoint(output=folder, settings=Model.model_validate({**layers, "dtype": "float32"}))
        yield Sa2VAModel.load(folder, dtype=torch.float32), Sa2VAProcessor.from_pretrained(folder)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--phrases", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--size", type=int, default=512, help="of the image, pixels")
    parser.add_argument("--family", help="internvl, qwen2_5_vl or qwen3_vl: on a GPU, with random weights")
    arguments = parser.parse_args()
    with model_of(arguments) as (model, processor), tempfile.TemporaryDirectory() as temporary:
        predictor = make_predictor(model, processor, 1)
        (one,) = frames(Path(temporary) / "frames", 1, arguments.size, 1)
        asked = enumerate(phrases(arguments.phrases))
        expressions = (replace(one.expressions[0], sent_id=number, phrase=phrase) for number, phrase in asked)
        many = replace(one, expressions=tuple(expressions))
        for task in (one, many):  # what is done once
            seconds(predictor, task)
        rounds = [(seconds(predictor, one), seconds(predictor, many)) for _ in range(arguments.rounds)]
    for number, name in enumerate(("wall", "CPU")):
        alone, together = (statistics.median(each[which][number] for each in rounds) for which in (0, 1))
        ratios = sorted(each[1][number] / each[0][number] for each in rounds)
        print(
            f"{name}: 1 phrase {alone * 1000:.0f} ms, {arguments.phrases} phrases {together * 1000:.0f} ms, "
            f"ratio {together / alone:.2f} (of the rounds {ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


if __name__ == "__main__":
    main()
