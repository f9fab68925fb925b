"""Mask logits beside a shard that is being written.

While it is, they are in parts, one per batch, `NAME.logits/{number}.npz`, by the identity of the answer; when it
is finished, in one compressed file by sent_id, laid out as `refvessel.predictions.logits_file` says.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from refvessel.files import atomic_file
from refvessel.predictions.logits_file import (
    logits_file,
    name_of_array,
    read_arrays,
    stored_names,
    write_logits,
)
from refvessel.predictions.prediction import Prediction

_PARTS = "[0-9]*.npz"


@dataclass(frozen=True)
class Place:
    """A file of logits, and the name that an answer's array has there."""

    path: Path
    name: str


def places_of_logits(shard: Path, records: Iterable[Prediction]) -> dict[str, Place]:
    """Identity -> where its logits are; `records` are the shard's, whose numbers name the arrays of its file."""
    file, parts = logits_file(shard), _parts(shard)
    places = {}
    if file.exists():
        stored = set(stored_names(file))
        names = {each.identity: name_of_array(each.sent_id) for each in records}
        places = {identity: Place(file, name) for identity, name in names.items() if name in stored}
    for path in sorted(parts.glob(_PARTS)):  # where a killed job left them twice, they are the same
        places |= {name: Place(path, name) for name in stored_names(path)}
    return places


class LogitsWriter:
    """Writes the logits of a shard."""

    def __init__(self, shard: Path) -> None:
        self._shard = shard
        self._file = logits_file(shard)
        self._parts = _parts(shard)

    def add(self, logits: Mapping[str, np.ndarray]) -> None:
        """Store arrays by the identity of their answer; they are on the disk when this returns."""
        if logits:
            number = len(list(self._parts.glob(_PARTS)))
            with atomic_file(self._parts / f"{number:06}.npz") as temporary:
                np.savez(temporary, allow_pickle=False, **logits)

    def copy(self, places: Mapping[str, Place]) -> None:
        """Store what lies elsewhere, by identity."""
        for path in dict.fromkeys(place.path for place in places.values()):
            self.add(dict(_arrays(path, places)))

    def unpack(self, places: Mapping[str, Place]) -> None:
        """Take the finished file apart, before its arrays' numbers become those of other expressions."""
        if self._file.exists():
            self.copy({identity: place for identity, place in places.items() if place.path == self._file})
            self._file.unlink()

    def finish(self, records: Sequence[Prediction]) -> None:
        """Put the logits of these records into the one file; one that is complete is left alone."""
        if self._file.exists() and not self._parts.exists():
            return
        places = places_of_logits(self._shard, records)
        write_logits(self._file, _in_order(records, places))
        shutil.rmtree(self._parts, ignore_errors=True)


def _parts(shard: Path) -> Path:
    return logits_file(shard).with_suffix("")


def _arrays(path: Path, places: Mapping[str, Place]) -> Iterator[tuple[str, np.ndarray]]:
    there = {identity: place.name for identity, place in places.items() if place.path == path}
    yield from zip(there, read_arrays(path, there.values()), strict=True)


def _in_order(records: Sequence[Prediction], places: Mapping[str, Place]) -> Iterator[tuple[int, np.ndarray]]:
    """sent_id and array of each record; each file is opened once where its records follow each other."""
    for path, group in groupby(records, key=lambda each: places[each.identity].path):
        alike = list(group)
        arrays = read_arrays(path, [places[each.identity].name for each in alike])
        yield from zip((each.sent_id for each in alike), arrays, strict=True)
