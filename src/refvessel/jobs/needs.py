"""What a job of each rule needs of a machine: memory and time, by the size of what it reads.

The figures are measured ones (benchmarks/RESULTS.md, and the files below `<benchmarks>` of the demo) with room to
spare, since a job that exceeds what it asked for is killed. Each further attempt gets as much again.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from math import ceil
from pathlib import Path

# Of the two processes of Snakemake, 115 MB each, that a scheduler's job has around its script, and of Python.
_MEGABYTES_AROUND = 500
_MINUTES_AROUND = 5  # a cold file system, and the imports

_ANSWERS_PER_SECOND = 2  # half of the plain loop's on an H200, a twentieth of RefVessel's and less


@dataclass(frozen=True)
class Needs:
    """What a rule's job takes at most: a basis, and more for each gigabyte that it reads.

    megabytes, minutes: the basis.
    megabytes_per_gigabyte, minutes_per_gigabyte: more of the same for each gigabyte (10^9 bytes) of input.
    """

    megabytes: float
    megabytes_per_gigabyte: float = 0
    minutes: float = 5
    minutes_per_gigabyte: float = 0


NEEDS = {
    # 254 MB with the demo, 540 MB and 57 s with the 19,380 MB of an 8B.
    "convert_checkpoint": Needs(1_500, 100, minutes=10, minutes_per_gigabyte=1),
    # 352 MB with the demo; 10,000 frames of 512x512, 2,000 MB: 213 MB by two processes, 48 s.
    "convert_dataset": Needs(1_500, 100, minutes=10, minutes_per_gigabyte=5),
    "list_expressions": Needs(1_000, minutes=30),
    "list_sequences": Needs(1_000, minutes=30),
    "generate_demo_angiograms": Needs(500),
    "generate_demo_films": Needs(500),
    "segment_by_vesselness": Needs(1_000, minutes=15),
    # 1,051 MB with the demo's model of 9 MB, all on the CPU; the weights pass through the memory of the host.
    "segment": Needs(3_000, 1_200, minutes=25, minutes_per_gigabyte=1),
    # 10,000 expressions of 512x512 in four shards, 30 MB: 4 s.
    "gather_predictions": Needs(1_000, 3_000, minutes_per_gigabyte=50),
    "write_video_results": Needs(1_000, 8_000, minutes_per_gigabyte=50),
    "import_predictions": Needs(1_500, 1_000, minutes=15, minutes_per_gigabyte=50),
    "refine_predictions": Needs(1_500, 1_000, minutes=10, minutes_per_gigabyte=50),
    "tune_threshold": Needs(1_500, 1_000, minutes=10, minutes_per_gigabyte=50),
    # 1,220 masks of 512x512: 380 MB by two processes, 15 s.
    "score_cases": Needs(1_500, 5_000, minutes=15, minutes_per_gigabyte=1_000),
    "score_sequences": Needs(1_500, 5_000, minutes=15, minutes_per_gigabyte=1_000),
    "choose_question": Needs(1_500, minutes=30),
    "compare_models": Needs(1_500, minutes=30),
    "compare_datasets": Needs(1_500, minutes=30),
    "compare_sequences": Needs(1_500, minutes=30),
    "draw_masks": Needs(1_500, 3_000, minutes=15, minutes_per_gigabyte=1_000),
    "render_report": Needs(2_000, 5_000, minutes=20, minutes_per_gigabyte=1_000),
}


def memory_mb(rule: str, paths: Iterable[str | Path], attempt: int) -> int:
    """Megabytes that a job asks for.

    Args:
        rule: a key of `NEEDS`.
        paths: files and folders that the job reads, and by which its need grows.
        attempt: 1, and one more each time that the job is tried again.

    Raises:
        FileNotFoundError: for a path that is still to be made.
    """
    needs = NEEDS[rule]
    return ceil(
        (needs.megabytes + needs.megabytes_per_gigabyte * size_mb(paths) / 1000) * attempt + _MEGABYTES_AROUND
    )


def runtime_minutes(rule: str, paths: Iterable[str | Path], attempt: int, *, answers: int = 0) -> int:
    """Minutes that a job asks for; as `memory_mb`, and `answers` is how many a job of a model gives."""
    needs = NEEDS[rule]
    reading = needs.minutes_per_gigabyte * size_mb(paths) / 1000
    minutes = needs.minutes + reading + answers / _ANSWERS_PER_SECOND / 60
    return ceil(minutes * attempt + _MINUTES_AROUND)


def size_mb(paths: Iterable[str | Path]) -> float:
    """Size of files and of all visible files below folders, in megabytes; raises FileNotFoundError."""
    return sum(map(_size, map(str, paths))) / 1e6


@cache
def _size(path: str) -> int:
    if not os.path.isdir(path):  # noqa: PTH112 (the error's name of the file is a text, as Snakemake wants it)
        return os.stat(path).st_size  # noqa: PTH116
    return sum(
        os.stat(os.path.join(folder, name)).st_size  # noqa: PTH116, PTH118
        for folder, folders, names in os.walk(path)
        for name in names
        if not name.startswith(".") and os.path.exists(os.path.join(folder, name))  # noqa: PTH110, PTH118
    )
