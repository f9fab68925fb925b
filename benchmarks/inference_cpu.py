"""The demo's inference on the CPU, beside a plain loop in the same run.

    python benchmarks/inference_cpu.py [--frames 16] [--plain 8]

Both read the demo's frames and ask both phrases of each, with as many threads as there are cores, and take turns
so that a busy machine is busy for both. The plain loop is the one of `inference_h100.py`: one expression at a
time, `generate`, everything anew. Loading the model is in neither.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import torch
from inference_h100 import PHRASES, QUESTION, frames, plain_loop_seconds

from refvessel.checkpoint.convert import convert_checkpoint
from refvessel.inference.predictor import Predictor
from refvessel.inference.segmenter import Segmenter
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.processing import Sa2VAProcessor

DEMO = Path(__file__).resolve().parents[1] / "data" / "demo"
ROUNDS = 3


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--plain", type=int, default=8, help="frames of the plain loop")
    arguments = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        convert_checkpoint(
            base_mllm=DEMO / "base_mllm",
            sam2=DEMO / "sam2_hiera_demo.pt",
            pretrained=None,
            checkpoint=DEMO / "iter_200.pth",
            output=folder / "model",
        )
        model = Sa2VAModel.load(folder / "model", dtype=torch.float32)
        processor = Sa2VAProcessor.from_pretrained(folder / "model")
        tasks = frames(folder / "frames", arguments.frames, 512, 2)
        predictor = Predictor(Segmenter(model, processor), processor, QUESTION, batch_size=4)
        batches = [tasks[start : start + 4] for start in range(0, len(tasks), 4)]
        plain, ours = [], []
        for _ in range(ROUNDS):
            seconds = plain_loop_seconds(model, processor, tasks[: arguments.plain], folder / "plain")
            plain.append(seconds / arguments.plain / 2)
            begin = time.perf_counter()
            predictions = [each for batch in predictor.predict_all(batches) for each, _ in batch]
            ours.append((time.perf_counter() - begin) / len(predictions))
            assert all(each.status == "ok" for each in predictions)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, phrases {', '.join(PHRASES[:2])}")
    print("| round | plain loop, ms an expression | RefVessel | ratio |")
    print("|---|---|---|---|")
    for number, (before, after) in enumerate(zip(plain, ours, strict=True), start=1):
        print(f"| {number} | {before * 1e3:.0f} | {after * 1e3:.0f} | {before / after:.2f} |")


if __name__ == "__main__":
    main()
