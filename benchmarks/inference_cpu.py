"""The demo's inference on the CPU, beside a plain loop in the same run.

    python benchmarks/inference_cpu.py [--frames 32] [--plain 8]

Both read synthetic frames from PNG files and ask both phrases of each, on as many cores. RefVessel works as the
demo's workflow lets it: a shard a core, each a process of one thread. The plain loop is that of `plain_loop.py`,
in one process with as many threads as cores. They take turns, so that a busy machine is busy for both. Loading the
model is in neither.
"""

import argparse
import multiprocessing
import tempfile
import time
from pathlib import Path

import torch
from engine import engine_seconds, frames, make_predictor
from plain_loop import plain_loop_seconds

from refvessel.checkpoint.convert import convert_checkpoint
from refvessel.cores import usable_cores
from refvessel.inference.plan import ImageTask
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.processing import Sa2VAProcessor
from refvessel.settings.model_section import Model

DEMO = Path(__file__).resolve().parents[1] / "data" / "demo"
ROUNDS = 3
BATCH = 4


def segment(model: Sa2VAModel, processor: Sa2VAProcessor, tasks: list[ImageTask], shard: Path) -> None:
    """What a shard's job does once the model is loaded."""
    torch.set_num_threads(1)
    predictor = make_predictor(model, processor, BATCH)
    engine_seconds(predictor, processor, tasks, BATCH, shard, before=[], behind=[])


def seconds_of_shards(
    model: Sa2VAModel, processor: Sa2VAProcessor, tasks: list[ImageTask], folder: Path
) -> float:
    """Seconds until all shards are written, one a core, side by side."""
    fork = multiprocessing.get_context("fork")
    jobs = [
        fork.Process(
            target=segment, args=(model, processor, tasks[core :: usable_cores()], folder / f"{core}.jsonl")
        )
        for core in range(usable_cores())
    ]
    begin = time.perf_counter()
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert not any(job.exitcode for job in jobs)
    return time.perf_counter() - begin


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--plain", type=int, default=8, help="frames of the plain loop")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        convert_checkpoint(
            output=folder / "model",
            settings=Model(
                base_mllm=DEMO / "base_mllm",
                sam2=DEMO / "sam2_hiera_demo.pt",
                checkpoint=DEMO / "iter_200.pth",
            ),
        )
        model = Sa2VAModel.load(folder / "model", dtype=torch.float32)
        processor = Sa2VAProcessor.from_pretrained(folder / "model")
        tasks = frames(folder / "frames", arguments.frames, 512, 2)
        plain, ours = [], []
        for _ in range(ROUNDS):
            torch.set_num_threads(usable_cores())
            seconds = plain_loop_seconds(model, processor, tasks[: arguments.plain], folder / "plain")
            plain.append(seconds / arguments.plain / 2)
            torch.set_num_threads(1)
            ours.append(seconds_of_shards(model, processor, tasks, folder) / arguments.frames / 2)
    print(f"{usable_cores()} cores, torch {torch.__version__}")
    print("| round | plain loop, ms per expression | RefVessel | ratio |")
    print("|---|---|---|---|")
    for number, (before, after) in enumerate(zip(plain, ours, strict=True), start=1):
        print(f"| {number} | {before * 1e3:.0f} | {after * 1e3:.0f} | {before / after:.2f} |")


if __name__ == "__main__":
    main()
