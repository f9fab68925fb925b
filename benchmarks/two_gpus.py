"""What `make run` makes of one and of two GPUs of one host, beside `refvessel segment` on one, in the same run.

    PYTHONPATH=src:tools:benchmarks python benchmarks/two_gpus.py [--frames 1220] [--folder DIR] [--small]

Writes an official folder of the 8B's shapes with random weights (or, with `--small`, one of a few megabytes that a
CPU computes) and so many frames of 512x512 with a mask each. The command of `make run` converts and links them
first. Then each row begins from there:

    one     the command of `make run`, as far as the table of predictions, with one visible GPU
    two     the same with both
    by hand `refvessel segment` with one, on the tree and the model that the run made

No setting is stated but the model, the data and a split. "stream" is what the shards that work at once write in a
second, from the first lines of each to its last ones; "all" is from the command's start to its end. Bars: two at
least 1.85 times one on the stream, one not slower than by hand.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml
from PIL import Image
from real_job import DRAWN, PHRASE, SIDE, warm

from refvessel.demo.angiogram import angiogram
from refvessel.jobs.gpus import visible_gpus

ROOT = Path(__file__).resolve().parents[1]
SECONDS_BETWEEN_LOOKS = 0.01
PUBLISHED = "shards"
TREE, CHECKPOINT = "results/datasets/frames", "results/checkpoints/random"
MADE = ("results/predictions", "results/answers")
PREDICTIONS = "results/predictions/random/frames/test/predictions.parquet"


class Watched(NamedTuple):
    """What a shard's file was when it was first and last seen to grow."""

    first: float  # seconds
    already: int  # lines, then
    last: float


def write_frames(root: Path, count: int) -> None:
    """Images and masks, as the form `masks` takes them: twenty frames a patient."""
    drawn = [angiogram(7, number, 1) for number in range(DRAWN)]
    images = [Image.fromarray(each.image).resize((SIDE, SIDE)) for each in drawn]
    mask = Image.fromarray(np.eye(SIDE, dtype=np.uint8) * 255)
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)

    def write(number: int) -> None:
        name = f"p{number // 20}_f{number}.png"
        images[number % DRAWN].save(root / "images" / name)
        mask.save(root / "masks" / name)

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, range(count)))


def configuration(model: Path, frames: Path) -> dict[str, object]:
    """What a user writes: a model, data and what is evaluated."""
    data = {
        "format": "masks",
        "root": str(frames),
        "phrases": {"vessel": PHRASE},
        "patient_pattern": r"(?P<patient>p\d+)_f(?P<frame>\d+)",
        "single_split": "test",
        "near_duplicates": None,  # the same few drawings many times
    }
    return {
        "models": {"random": {"folder": str(model)}},
        "datasets": {"frames": data},
        "evaluations": [{"model": "random", "dataset": "frames", "split": "test"}],
    }


def shards_below(folder: Path) -> Iterator[tuple[int, Path]]:
    """The shards under way or finished, by their inode; the workflow's own are copies that it makes at the end."""
    for place, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".jsonl") and Path(place).name != PUBLISHED:
                path = Path(place, name)
                with suppress(FileNotFoundError):
                    yield path.stat().st_ino, path


@contextmanager
def watching(folder: Path) -> Iterator[Callable[[], float]]:
    """Watch the shards that are written below a folder; what is yielded tells their lines a second."""
    seen: dict[int, Watched] = {}
    sizes: dict[int, int] = {}
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(SECONDS_BETWEEN_LOOKS):
            for shard, path in shards_below(folder):
                with suppress(FileNotFoundError):
                    size, now = path.stat().st_size, time.perf_counter()
                    if shard in seen and size > sizes[shard]:
                        seen[shard] = seen[shard]._replace(last=now)
                    elif shard not in seen and size:
                        seen[shard] = Watched(now, path.read_bytes().count(b"\n"), now)
                    sizes[shard] = size

    def rate() -> float:
        ended.set()
        thread.join()
        lines = {shard: path.read_bytes().count(b"\n") for shard, path in shards_below(folder)}
        return sum(
            (lines[shard] - each.already) / (each.last - each.first)
            for shard, each in seen.items()
            if each.last > each.first
        )

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield rate
    finally:
        ended.set()


def run(name: str, command: list[str], folder: Path, gpus: list[str]) -> float:
    """Run a command in a folder, print its row; returns its stream's expressions a second."""
    visible = {"CUDA_VISIBLE_DEVICES": ",".join(gpus)} if gpus else {}
    with watching(folder) as rate, (folder / "said.txt").open("w") as said:
        begin = time.perf_counter()
        ended = subprocess.run(
            command, cwd=folder, env=os.environ | visible, stdout=said, stderr=subprocess.STDOUT, check=False
        )
        seconds = time.perf_counter() - begin
        if ended.returncode:
            raise SystemExit((folder / "said.txt").read_text()[-4000:])
        stream = rate()
    print(f"| {name} | {stream:.1f} | {seconds:.1f} |", flush=True)
    return stream


def measure(folder: Path, frames: int, small: bool) -> None:
    """Write what is needed, run all three, print the table and the ratios."""
    model, data = folder / "model", folder / "frames"
    write = [sys.executable, str(ROOT / "benchmarks/real_job.py"), "--folder", str(folder), "--part", "model"]
    subprocess.run([*write, *(["--small"] if small else [])], check=True)
    write_frames(data, frames)
    warm(model)
    (folder / "my.yaml").write_text(yaml.safe_dump(configuration(model, data)))
    snakemake = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    snakemake += ["--configfile", "my.yaml", "--cores", "all"]
    print(f"| {frames} frames | stream, expressions/s | all, s |\n|---|---|---|", flush=True)
    gpus = visible_gpus()
    run("data and model", [*snakemake, TREE, CHECKPOINT], folder, gpus[:1])
    told = {}
    for name, visible in {"one": gpus[:1], "two": gpus[:2]}.items():
        told[name] = run(name, [*snakemake, PREDICTIONS], folder, visible)
        for made in MADE:
            shutil.rmtree(folder / made)
    command = [
        sys.executable,
        "-m",
        "refvessel.cli",
        "segment",
        "--split",
        "test",
        "--output",
        "by_hand.jsonl",
    ]
    told["by hand"] = run("by hand", [*command, "--model", CHECKPOINT, "--dataset", TREE], folder, gpus[:1])
    print(f"\ntwo over one, stream: {told['two'] / told['one']:.2f}")
    print(f"one over by hand, stream: {told['one'] / told['by hand']:.2f}")


def main() -> None:
    """Read the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=1220)
    parser.add_argument("--folder", type=Path, help="where all is kept")
    parser.add_argument("--small", action="store_true", help="a model of a few megabytes")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        measure(folder, arguments.frames, arguments.small)


if __name__ == "__main__":
    main()
