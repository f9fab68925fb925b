"""Compiling beside the work at the 8B's shapes on one GPU: what it takes from the stream, and what comes behind.

    PYTHONPATH=src:tools python benchmarks/compiled_beside.py [--batches 150] [--behind 15] [--batch-size 64]

Another process compiles while batches go through an uncompiled model (Inductor's and Triton's caches begin empty);
then the model is compiled from what that left. Prints what an image takes in each stretch, and the standstill
between them; it ends so many batches behind that.
"""

import argparse
import json
import os
import tempfile
import time
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import torch
from engine import PHRASES, frames, make_predictor
from full_size import FAMILIES, random_model, write_words

from refvessel.cores import usable_cores
from refvessel.inference import compiling
from refvessel.inference.batches import has_room
from refvessel.inference.preparing import LikeBatch
from refvessel.inference.reading import read_images
from refvessel.model.compilation import fuse_blocks
from refvessel.prompts import prompt_of
from refvessel.settings.inference_section import Inference

BEFORE = 8  # batches until another process begins


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=150, help="at most")
    parser.add_argument("--behind", type=int, default=15)
    parser.add_argument("--batch-size", type=int, default=64)
    arguments = parser.parse_args()
    size = arguments.batch_size
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["TRITON_CACHE_DIR"] = str(folder / "triton")
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "inductor")
        write_words(folder)
        settings = FAMILIES["internvl"] | {"model_type": "sa2va_chat", "template": "qwen_chat"}
        (folder / "config.json").write_text(json.dumps(settings))
        model, processor = random_model("cuda", settings=FAMILIES["internvl"])
        fuse_blocks(model)
        predictor = make_predictor(model, processor, size)
        tasks = frames(folder / "frames", size, 512, 1)
        compiled: list[float] = []

        def compile_model() -> None:
            compiled.append(time.perf_counter())
            predictor.compile()

        compiling.pays = lambda _: True
        beside = compiling.BesideWork(
            LikeBatch(
                str(folder),
                (512, 512),
                (prompt_of(Inference().question, PHRASES[0]),),
                size,
                "bfloat16",
                Inference().draft,
                None,
            ),
            compile_model,
            lambda: has_room(tasks[0], size),
        )
        begin = time.perf_counter()
        ends, began = [begin], 0
        batches = [tasks] * arguments.batches
        with (
            closing(beside),
            read_images(tasks * len(batches), processor, readers=usable_cores(), pinned=True) as images,
            closing(predictor.predict_all(batches, images)) as predictions,
        ):
            for number, _ in enumerate(predictions, start=1):
                ends.append(time.perf_counter())
                if number >= BEFORE and not compiled:
                    began = began or number
                    beside.advance(10**9)
                if compiled and sum(end > compiled[0] for end in ends) > arguments.behind:
                    break
        took = [(later - earlier) / size * 1e3 for earlier, later in pairwise(ends)]
        print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, batches of {size}")
        print(f"before: {median(took[3:began]):.2f} ms an image")
        if not compiled:
            print(f"never compiled in {len(took)} batches; meanwhile {median(took[began:]):.2f} ms an image")
            return
        ready = sum(end <= compiled[0] for end in ends)
        mean = sum(took[began:ready]) / max(ready - began, 1)
        print(f"while another process compiles, {compiled[0] - ends[began]:.0f} s: {mean:.2f} ms an image")
        behind = took[ready:]
        usual = median(behind[len(behind) // 2 :])
        print(f"standstill: {sum(max(each - usual, 0) for each in behind) * size / 1e3:.1f} s")
        print(f"compiled: {usual:.2f} ms an image", flush=True)


def median(numbers: list[float]) -> float:
    """The middle one."""
    return sorted(numbers)[len(numbers) // 2] if numbers else float("nan")


if __name__ == "__main__":
    main()
