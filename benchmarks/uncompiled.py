"""The stream without compilation at the 8B's shapes on one GPU: by our kernels, by PyTorch's, and compiled.

    PYTHONPATH=src:tools python benchmarks/uncompiled.py [--frames 512] [--batch-size 64] [--kernels 60]
        [--compiled] [--paths fused plain]

Random weights of InternVL3-8B's shapes. Each path prints a row: the first batch, with every kernel of it to be
made ready (Triton's cache is an empty folder), and what an image takes from files to run-length masks on the disk,
as `inference_h100.py` measures it. Behind the first, the longest kernels of a batch, by device time.
"""

import argparse
import os
import tempfile
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from unittest.mock import patch

import torch
from engine import engine_seconds, frames, make_predictor
from full_size import random_model
from torch.profiler import ProfilerActivity, profile

from refvessel.inference.plan import ImageTask
from refvessel.inference.predictor import Predictor
from refvessel.model import pointwise
from refvessel.model.compilation import compile_blocks, fuse_blocks

BEFORE, BEHIND = 3, 3  # batches that do not count


def path(name: str) -> AbstractContextManager[object]:
    """Within, the model takes this path."""
    return patch.object(pointwise, "by_kernels", lambda _: False) if name == "plain" else nullcontext()


def print_kernels(predictor: Predictor, tasks: list[ImageTask], count: int) -> None:
    """The longest kernels of a batch, in milliseconds an image."""
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        predictor.attempt(tasks)
        torch.cuda.synchronize()
    kernels = sorted(profiled.key_averages(), key=lambda event: -event.self_device_time_total)
    total = sum(each.self_device_time_total for each in kernels) / 1e3 / len(tasks)
    print(f"\nkernels, {total:.2f} ms an image, both streams together:")
    for each in kernels[:count]:
        print(f"{each.self_device_time_total / 1e3 / len(tasks):8.3f} ms {each.count:5d} x {each.key[:110]}")
    print(flush=True)


def main() -> None:
    """Measure and print, row by row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--kernels", type=int, default=60)
    parser.add_argument("--paths", nargs="+", choices=("fused", "plain"), default=["fused", "plain"])
    parser.add_argument("--compiled", action="store_true", help="at last also compiled")
    arguments = parser.parse_args()
    batch = arguments.batch_size
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ.setdefault("TRITON_CACHE_DIR", str(folder / "triton"))
        model, processor = random_model("cuda")
        predictor = make_predictor(model, processor, batch)
        tasks = frames(folder / "frames", arguments.frames, 512, 1)
        fuse_blocks(model)

        def measure(label: str) -> None:
            begin = time.perf_counter()
            predictor.attempt(tasks[:batch])
            first = time.perf_counter() - begin
            _, seconds, accepted = engine_seconds(
                predictor,
                processor,
                tasks,
                batch,
                folder / "shard.jsonl",
                before=tasks[: BEFORE * batch],
                behind=tasks[: BEHIND * batch],
            )
            print(
                f"| {label} | first batch {first:.1f} s | {seconds / len(tasks) * 1e3:.2f} ms an image | "
                f"{accepted} drafts | {torch.cuda.max_memory_reserved() / 2**30:.1f} GiB |",
                flush=True,
            )

        print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {len(tasks)} frames by {batch}")
        for label in arguments.paths:
            with path(label):
                measure(label)
                if label == arguments.paths[0] and arguments.kernels:
                    print_kernels(predictor, tasks[:batch], arguments.kernels)
        if arguments.compiled:
            compile_blocks(model)
            measure("compiled")


if __name__ == "__main__":
    main()
