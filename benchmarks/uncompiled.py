"""The stream without compilation at the 8B's shapes on one GPU: by our kernels, by PyTorch's, and compiled.

    PYTHONPATH=src:tools python benchmarks/uncompiled.py [--frames 512] [--batch-size 64] [--kernels 60]
        [--paths fused plain] [--float8] [--compiled]

Random weights of InternVL3-8B's shapes. Each path prints a row: the first batch, with every kernel of it to be
made ready (Triton's cache is an empty folder), and what an image takes from files to run-length masks on the disk,
as `inference_h100.py` measures it. Behind the first, the longest kernels of a batch, by device time.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from unittest.mock import patch

import torch
from engine import engine_seconds, frames, make_predictor
from full_size import random_model
from torch import nn
from torch.profiler import ProfilerActivity, profile

from refvessel.inference.plan import ImageTask
from refvessel.inference.predictor import Predictor
from refvessel.model import pointwise
from refvessel.model.compilation import compile_blocks, fuse_blocks
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.quantisation import QuantisedLinear, quantise

BEFORE, BEHIND = 3, 3  # batches that do not count


def path(name: str) -> AbstractContextManager[object]:
    """Within, the model takes this path."""
    return patch.object(pointwise, "by_kernels", lambda _: False) if name == "plain" else nullcontext()


@contextmanager
def in_float8(model: Sa2VAModel) -> Iterator[None]:
    """The language model's products in float8, within."""
    layers, language, kept = model.language_model.model.layers, model.language, {}
    for number, layer in enumerate(layers):
        for name, module in list(layer.named_modules()):
            if isinstance(module, nn.Linear):
                kept[number, name] = module
                small = QuantisedLinear(module, torch.float8_e4m3fn)
                weight, scale = quantise(module.weight.float(), torch.float8_e4m3fn)
                small.weight, small.scale = (
                    nn.Parameter(each, requires_grad=False) for each in (weight, scale)
                )
                layer.set_submodule(name, small)
    before = language._run_layer, language._run_last_layer
    language.multiply_in_float8()
    yield
    language._run_layer, language._run_last_layer = before
    for (number, name), module in kept.items():
        layers[number].set_submodule(name, module)


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
    parser.add_argument("--float8", action="store_true", help="also with float8 products, uncompiled")
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
        if arguments.float8:
            with in_float8(model):
                measure("float8")
                print_kernels(predictor, tasks[:batch], arguments.kernels)
        if arguments.compiled:
            compile_blocks(model)
            measure("compiled")


if __name__ == "__main__":
    main()
