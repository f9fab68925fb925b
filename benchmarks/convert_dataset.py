"""Images a second and peak memory of dataset conversion, beside plainly reading and copying the same files.

    python benchmarks/convert_dataset.py [--images 10000] [--processes 2]

Generates 512 x 512 frames with LabelMe files of five vessels each, then runs three jobs on them, each in a
Python of its own with that many worker processes: copying the files' bytes; reading (image decoded, JSON
parsed) and copying them; `convert_dataset`. Times include starting the workers and, for the conversion,
everything up to the synced tree. Peak memory is that of all processes together, looked at ten times a
second, pages that they share counted once.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 512
BAR = 1 / 3  # of the speed of reading and copying
MEMORY_BAR = 600  # MB


def main() -> None:
    """Generate, measure, print a table; status 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--job", choices=JOBS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        print(json.dumps(measure(arguments.job, arguments.folder, arguments.processes)))
        return
    with tempfile.TemporaryDirectory() as folder:
        with Pool(arguments.processes) as pool:
            pool.map(partial(generate, Path(folder)), range(arguments.images), chunksize=16)
        results = {job: run_alone(job, Path(folder), arguments.processes) for job in JOBS}
    print(f"{arguments.images} images of {SIDE} x {SIDE}, {arguments.processes} processes\n")
    print("| job | images/s | peak memory (MB) |\n|---|---|---|")
    for job, result in results.items():
        print(f"| {job} | {arguments.images / result['seconds']:.0f} | {result['megabytes']:.0f} |")
    share = results["read and copy"]["seconds"] / results["convert"]["seconds"]
    print(f"\nConversion runs at {share:.2f} of the speed of reading and copying (bar: {BAR:.2f}).")
    sys.exit(share < BAR or results["convert"]["megabytes"] > MEMORY_BAR)


def generate(folder: Path, number: int) -> None:
    """One frame of a smooth background with noise, and the outlines of five vessels on it."""
    rng = np.random.default_rng(number)
    name = f"patient{number // 20:05d}_f{number % 20:02d}"
    source = folder / "source"
    source.mkdir(exist_ok=True)
    coarse = Image.fromarray(rng.integers(40, 216, (16, 16), np.uint8))
    smooth = np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float32)
    noisy = smooth + rng.standard_normal((SIDE, SIDE), np.float32) * 4
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(source / f"{name}.png", compress_level=1)
    shapes = [{"label": "vessel", "points": outline(rng).tolist(), "shape_type": "polygon"} for _ in range(5)]
    content = {"imagePath": f"{name}.png", "imageData": None, "imageWidth": SIDE, "imageHeight": SIDE}
    (source / f"{name}.json").write_text(json.dumps(content | {"shapes": shapes}))


def outline(rng: np.random.Generator) -> np.ndarray:
    """A curved vessel 4 to 12 pixels wide as a polygon, float64 of shape (80, 2), columns (x, y)."""
    position = np.linspace(0, 1, 40)
    centre, angle, width = rng.uniform(120, SIDE - 120, 2), rng.uniform(0, 2 * np.pi), rng.uniform(4, 12)
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    line = centre + np.outer(position * 160 - 80, along) + np.outer(12 * np.sin(5 * position), across)
    return np.vstack([line + across * width / 2, (line - across * width / 2)[::-1]])


def run_alone(job: str, folder: Path, processes: int) -> dict[str, float]:
    """Seconds and megabytes of one job in a Python of its own."""
    command = [sys.executable, __file__, "--job", job, "--folder", str(folder), "--processes", str(processes)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(job: str, folder: Path, processes: int) -> dict[str, float]:
    """Run a job here; its wall time, and the highest memory of this process and its workers together."""
    peak, done = [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            peak[0] = max(peak[0], megabytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    try:
        JOBS[job](folder, processes)
    finally:
        seconds = time.perf_counter() - started
        done.set()
        watcher.join()
    return {"seconds": seconds, "megabytes": peak[0]}


def megabytes() -> float:
    """Memory of this process and its children, pages that they share counted once (Linux's PSS)."""
    task = Path(f"/proc/{os.getpid()}")
    children = (task / "task" / str(os.getpid()) / "children").read_text().split()
    total = 0
    for process in [str(os.getpid()), *children]:
        try:
            text = Path(f"/proc/{process}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
        total += int(re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)[1])
    return total / 1024


def copy_all(folder: Path, processes: int, *, read: bool) -> None:
    """Copy every file of the source; with `read`, decode and parse it first."""
    target = folder / ("read" if read else "copied")
    target.mkdir()
    with Pool(processes) as pool:
        files = sorted((folder / "source").iterdir())
        pool.map(partial(copy, target=target, read=read), files, chunksize=16)


def copy(path: Path, *, target: Path, read: bool) -> None:
    """Copy one file."""
    if read and path.suffix == ".json":
        json.loads(path.read_bytes())
    elif read:
        with Image.open(path) as image:
            image.load()
    shutil.copyfile(path, target / path.name)


def convert(folder: Path, processes: int) -> None:
    """Convert the source, splits, gates, pseudonyms and all."""
    from refvessel.dataset.conversion.annotate import convert_dataset
    from refvessel.settings.dataset_section import Dataset

    convert_dataset(
        output=folder / "tree",
        settings=Dataset(
            format="labelme",
            root=folder / "source",
            patient_pattern=r"(?P<patient>.+)_f(?P<frame>\d+)$",
            key_file=folder / "key" / "pseudonym.key",
        ),
        threads=processes,
    )


JOBS: dict[str, Callable[[Path, int], None]] = {
    "copy": partial(copy_all, read=False),
    "read and copy": partial(copy_all, read=True),
    "convert": convert,
}


if __name__ == "__main__":
    main()
