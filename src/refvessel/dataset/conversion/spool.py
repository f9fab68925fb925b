"""Values of many images, on the disk instead of in memory until they are needed one by one."""

import pickle
import tempfile
from pathlib import Path
from typing import Any, NamedTuple


class Place(NamedTuple):
    """Where a value lies in a spool."""

    offset: int
    length: int


class Spool:
    """A file without a name, in the folder where its values will be written; it is gone with the process."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (open as long as the spool)
        self._end = 0

    def append(self, packed: bytes) -> Place:
        """Keep what `pack` returned."""
        place = Place(self._end, len(packed))
        self._file.seek(place.offset)
        self._file.write(packed)
        self._end += len(packed)
        return place

    def read(self, place: Place) -> Any:
        """The value at a place; only what this process appended is ever there."""
        self._file.seek(place.offset)
        return pickle.loads(self._file.read(place.length))


def pack(value: Any) -> bytes:
    """A value as a spool takes it, made where the value is: a worker's result travels packed."""
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
