"""Entries of a large tree that stay on the disk: found by number or by id, each parsed when it is asked for."""

import os
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, overload

import numpy as np

from refvessel.dataset.fields import require
from refvessel.dataset.tree.entries import ANNOTATIONS, IMAGES
from refvessel.errors import UserError
from refvessel.files import parse_json, unreadable_is_a_user_error
from refvessel.long_json import ReadWholeError, read_around_lists

_LARGE = 16 << 20  # bytes; some 100,000 expressions, which parsed take half a gigabyte


def is_large(path: Path) -> bool:
    """Whether a file of the tree is left on the disk; raises UserError where it is missing."""
    with unreadable_is_a_user_error(path):
        return path.stat().st_size > _LARGE


def stored_instances(path: Path) -> "tuple[dict[str, Any], StoredEntries, StoredEntries] | None":
    """`instances.json` without its lists, its images and its annotations; None where it must be read whole.

    Raises UserError where an entry has no id, or that of another.
    """
    images, annotations = StoredEntries(path, IMAGES), StoredEntries(path, ANNOTATIONS)
    try:
        others = read_around_lists(path, {IMAGES: images.add, ANNOTATIONS: annotations.add})
    except ReadWholeError:
        return None
    if others.keys() & {IMAGES, ANNOTATIONS}:
        return None
    return others, images.complete(), annotations.complete()


class StoredItems(Sequence[Any]):
    """JSON values within an open file, in the order in which they were added; 16 bytes of memory each."""

    def __init__(self, stream: IO[bytes], what: str) -> None:
        self._stream, self._what = stream, what
        self._begin, self._end = array("q"), array("q")

    def add(self, begin: int, end: int) -> None:
        """Add the value that stands from one byte of the file to another."""
        self._begin.append(begin)
        self._end.append(end)

    def __len__(self) -> int:
        return len(self._begin)

    @overload
    def __getitem__(self, place: int) -> Any: ...
    @overload
    def __getitem__(self, place: slice) -> list[Any]: ...
    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        begin, end = self._begin[place], self._end[place]
        # Unlike seeking and reading, this has no place of its own that processes or threads would share.
        return parse_json(os.pread(self._stream.fileno(), end - begin, begin), self._what)


class StoredEntries(Mapping[int, Mapping[str, Any]]):
    """Entries of `instances.json` by their ids."""

    def __init__(self, path: Path, name: str) -> None:
        self._where, self._name = str(path), name
        self._items = StoredItems(path.open("rb"), self._where)
        self._ids = array("q")
        self._order = np.empty(0, np.int64)
        self._sorted = np.empty(0, np.int64)

    def add(self, entry: Any, begin: int, end: int) -> None:
        """Add the entry that stands from one byte of the file to another; raises UserError where it has no id."""
        self._ids.append(require(entry, "id", int, f"{self._where}: {self._name} {len(self._ids)}"))
        self._items.add(begin, end)

    def complete(self) -> "StoredEntries":
        """Itself, once all are added; raises UserError where two share an id."""
        ids = np.array(self._ids, np.int64)
        self._order = ids.argsort(kind="stable")
        self._sorted = ids[self._order]
        twice = self._sorted[1:][self._sorted[1:] == self._sorted[:-1]]
        if len(twice):
            raise UserError(
                f"{self._where} has the id {twice[0]} twice in its {self._name}; number them anew."
            )
        return self

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[int]:
        return iter(self._ids)

    def __contains__(self, identifier: object) -> bool:
        return isinstance(identifier, int) and self._place(identifier) is not None

    def __getitem__(self, identifier: int) -> Mapping[str, Any]:
        place = self._place(identifier)
        if place is None:
            raise KeyError(identifier)
        entry: Mapping[str, Any] = self._items[place]
        return entry

    def _place(self, identifier: int) -> int | None:
        found = int(self._sorted.searchsorted(identifier))
        if found == len(self._sorted) or self._sorted[found] != identifier:
            return None
        return int(self._order[found])
