"""Into how many shards a split is divided."""

import re
from collections import defaultdict
from math import ceil
from pathlib import Path

from refvessel.artifacts import SHARD_SUFFIX
from refvessel.files import read_json

# Of images. By the plain loop, the slowest that was measured on an H200, they take four seconds: less than a job
# takes to start and to load a model.
_LEAST = 16
MOST_IN_A_QUEUE = 64  # shards; each plans the whole run again, and few get as many GPUs at once
_LEAST_IN_A_QUEUE = 1_000  # four minutes: a place in the queue, the start, and until its end is noticed
_SHARD = re.compile(rf"(\d+)-of-(\d+){re.escape(SHARD_SUFFIX)}")


def number_of_shards(folder: Path, wanted: int) -> int:
    """`wanted`, or the number into which a segmented split is divided: another number would segment nothing new.

    Args:
        folder: of the split's shards, `1-of-2.jsonl`; may be absent.
        wanted: the number for a split of which not every shard is there.
    """
    found: dict[int, set[int]] = defaultdict(set)
    for path in Path(folder).glob(f"*{SHARD_SUFFIX}"):
        if match := _SHARD.fullmatch(path.name):
            found[int(match[2])].add(int(match[1]))
    whole = [count for count, numbers in found.items() if numbers == set(range(1, count + 1))]
    return wanted if wanted in whole else max(whole, default=wanted)


def shards_that_pay(listed: Path, workers: int, *, queued: bool) -> int:
    """How many shards are worth their start: one for each worker, fewer where they would be too small.

    Args:
        listed: how many images or frames the split asks for, as `list_expressions` and `list_sequences` write it.
        workers: jobs that may run at once.
        queued: whether jobs wait in the queue of a cluster.
    """
    counts = read_json(listed)
    runs = counts.get("runs")  # which are not divided
    images = counts["images"] if runs is None else counts["frames"]
    worth = ceil(images / (_LEAST_IN_A_QUEUE if queued else _LEAST))
    return max(1, min(workers, worth, worth if runs is None else runs))


def answers_of_split(listed: Path) -> int:
    """How many masks a split asks for, of images or of the frames of runs; `listed` as above."""
    counts = read_json(listed)
    runs = counts.get("runs")
    return counts["expressions"] if runs is None else counts["frames"] * counts["expressions"] // max(1, runs)
