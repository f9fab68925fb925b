"""A shard on each of two GPUs of one host, beside a shard on one of them, in the same run.

    PYTHONPATH=src:tools python benchmarks/two_gpus.py [--frames 512] [--batch-size 64]

Each process has its GPU and a model of the 8B's shapes, with random weights, and segments as many
synthetic frames from PNG files to a shard on the disk: first one process alone, then both at once, in turns.
"""

import argparse
import multiprocessing
import os
import tempfile
import time
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import torch
from engine import engine_seconds, frames, make_predictor
from full_size import random_model

from refvessel.jobs.gpus import visible_gpus
from refvessel.model.compilation import compile_blocks

GPUS = 2
PATIENCE = 600  # seconds, for a process that may have ended
ROUNDS = 3


def segment_in_turns(
    gpu: str, first: bool, count: int, batch: int, together: Barrier, seconds: "Queue[tuple[int, int, float]]"
) -> None:
    """One GPU's process: reports the seconds of every run as (round, number of GPUs at work, seconds).

    The first process is the one that also works alone.
    """
    os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    model, processor = random_model("cuda")
    predictor = make_predictor(model, processor, batch)
    compile_blocks(model)
    with tempfile.TemporaryDirectory() as name:
        tasks = frames(Path(name) / "frames", count, 512, 1)

        def run(shard: list) -> float:
            begin = time.perf_counter()
            engine_seconds(predictor, processor, shard, batch, Path(name) / "shard", before=[], behind=[])
            return time.perf_counter() - begin

        run(tasks[: 2 * batch])
        for number in range(ROUNDS):
            together.wait(PATIENCE)
            if first:
                seconds.put((number, 1, run(tasks)))
            together.wait(PATIENCE)
            seconds.put((number, GPUS, run(tasks)))


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=64)
    arguments = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    together, seconds = spawn.Barrier(GPUS), spawn.Queue()
    jobs = [
        spawn.Process(
            target=segment_in_turns,
            args=(gpu, number == 0, arguments.frames, arguments.batch_size, together, seconds),
        )
        for number, gpu in enumerate(visible_gpus()[:GPUS])
    ]
    for job in jobs:
        job.start()
    try:
        runs = [seconds.get(timeout=PATIENCE) for _ in range(ROUNDS * (1 + GPUS))]
    except BaseException:  # where one ends early, so does the rest
        for job in jobs:
            job.kill()
        raise
    for job in jobs:
        job.join()
    print(
        f"\n{torch.cuda.get_device_name()} x {GPUS}, torch {torch.__version__}, {arguments.frames} frames per GPU"
    )
    print("| round | one GPU, s | two at once, s | images/s of two over one |")
    print("|---|---|---|---|")
    for number in range(ROUNDS):
        alone, both = (max(took for at, gpus, took in runs if (at, gpus) == (number, n)) for n in (1, GPUS))
        print(f"| {number + 1} | {alone:.2f} | {both:.2f} | {GPUS * alone / both:.2f} |")


if __name__ == "__main__":
    main()
