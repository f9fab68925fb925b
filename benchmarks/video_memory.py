"""The most memory that videos of different lengths take, each in a process of its own.

    PYTHONPATH=src:tools python benchmarks/video_memory.py MODEL [--frames 60 300] [--expressions 2]

MODEL is an official folder whose SAM2 has memories of 64 channels; it runs on the CPU in float32. Counted is the
resident memory of the process that computes, at its highest.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from video_h100 import PHRASES, videos

from refvessel.dataset.tree.ref_vos import FRAMES, META_EXPRESSIONS


def peak(model: Path, frames: int, expressions: int, folder: Path) -> int:
    """Bytes that segmenting one video takes at most."""
    (task,) = videos(folder / FRAMES, 1, frames, expressions)
    asked = {str(number): {"exp": PHRASES[number]} for number in range(expressions)}
    meta = {"videos": {task.name: {"frames": task.files.video.frames, "expressions": asked}}}
    (folder / META_EXPRESSIONS).write_text(json.dumps(meta))
    command = [sys.executable, "-m", "refvessel.cli", "segment-videos", "--device", "cpu", "--threads", "1"]
    paths = ["--model", str(model), "--root", str(folder), "--output", str(folder / "results.json")]
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)"  # of the largest process
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command, *paths], check=True, capture_output=True, text=True
    )
    return int(done.stdout)


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--frames", type=int, nargs="+", default=[60, 300])
    parser.add_argument("--expressions", type=int, default=2)
    arguments = parser.parse_args()
    print("| frames | peak, MB | of the first |")
    print("|---|---|---|")
    first = None
    for frames in arguments.frames:
        with tempfile.TemporaryDirectory() as name:
            bytes_held = peak(arguments.model, frames, arguments.expressions, Path(name))
        first = first or bytes_held
        print(f"| {frames} | {bytes_held / 1e6:.0f} | {bytes_held / first:.3f} |", flush=True)


if __name__ == "__main__":
    main()
