"""SHA-256 of large files, by all cores, and in a process of its own where much is to be read.

    python -m refvessel.predictions.hashing FILE ...

Threads of a process that imports libraries would take its lock from it for every block that they read.
"""

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from refvessel.cores import usable_cores
from refvessel.errors import UserError

_READ_AT_ONCE = 1 << 23  # bytes
_BLOCK = 1 << 26  # bytes of a file that one thread hashes at a time
_WORTH_A_PROCESS = 1 << 30  # bytes, which take longer than a process to begin


def hash_beside(paths: Sequence[Path]) -> str:
    """As `hash_of_blocks`, of so many bytes in a process of its own; raises UserError where that fails."""
    if sum(path.stat().st_size for path in paths) < _WORTH_A_PROCESS:
        return hash_of_blocks(paths)
    command = [sys.executable, "-m", __name__, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = done.stderr.strip().rpartition("\n")[2] or f"status {done.returncode}"
        raise UserError(f"the weights in {paths[0].parent} could not be hashed ({reason}); run again.")
    return done.stdout.strip()


def hash_of_blocks(paths: Sequence[Path]) -> str:
    """SHA-256 over the names, sizes and blocks of files, which as many threads hash as there are cores."""
    sizes = {path: path.stat().st_size for path in paths}
    blocks = [
        (path, start, min(start + _BLOCK, size))
        for path, size in sizes.items()
        for start in range(0, size, _BLOCK)
    ]
    digest = hashlib.sha256("".join(f"{path.name} {size}\n" for path, size in sizes.items()).encode())
    with ThreadPoolExecutor(usable_cores()) as threads:
        for block in threads.map(hash_of_range, blocks):
            digest.update(f"{block}\n".encode())
    return digest.hexdigest()


def hash_of_range(place: tuple[Path, int, int]) -> str:
    """SHA-256 of a part of a file: from a byte on, up to another."""
    path, start, end = place
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as stream:
        stream.seek(start)
        while start < end and (block := stream.read(min(_READ_AT_ONCE, end - start))):
            digest.update(block)
            start += len(block)
    return digest.hexdigest()


if __name__ == "__main__":
    print(hash_of_blocks(list(map(Path, sys.argv[1:]))))
