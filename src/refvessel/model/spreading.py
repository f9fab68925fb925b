"""What a model is spread over; how is `placement`'s subject, which takes longer to load than most models need."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Spreading:
    """What a model is spread over.

    max_memory: bytes that weights may take, of each GPU by its number, then of the host ("cpu"); the first is
        the main device. What finds no room goes to the disk.
    offload_folder: where weights lie on the disk that the model's own files do not hold as they are needed.
    """

    max_memory: Mapping[int | str, int]
    offload_folder: Path
