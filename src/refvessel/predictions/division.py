"""Into how many shards a split is divided."""

import re
from collections import defaultdict
from pathlib import Path

from refvessel.artifacts import SHARD_SUFFIX

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
