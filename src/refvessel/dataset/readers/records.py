"""What every reader yields: one record an image, whatever the format.

A reader is a function `read(root, problems)` that yields records and hands what is wrong with the data to
`problems`, so that all of it can be told at once. A new format is one module with such a function and one line in
`formats`.
"""

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from refvessel.dataset.problems import Problems
from refvessel.errors import UserError

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True)
class Region:
    """One labelled polygon: float64 of shape (points, 2), columns (x, y), pixels of the record's stated size."""

    label: str
    polygon: np.ndarray
    where: str  # file and field, for messages


@dataclass(frozen=True)
class Record:
    """One image and what was annotated on it."""

    name: str  # relative path, POSIX form; patients and pseudonyms derive from it
    path: Path  # the file that holds the image
    annotation: Path | None  # the file that holds the regions; None: not annotated, to be counted only
    where: str  # that file and the entry in it, for messages
    regions: tuple[Region, ...] = ()
    stated_size: tuple[int, int] | None = None  # (width, height) that the coordinates refer to
    load: Callable[[Path], bytes] = Path.read_bytes  # from `path` to an encoded image
    counts: Mapping[str, int] = field(default_factory=dict)  # what the reader had to interpret


Reader = Callable[[Path, Problems], Iterator[Record]]


def visible_files(folder: Path, suffixes: frozenset[str]) -> list[Path]:
    """Files below `folder` with one of the suffixes (lower case), sorted; nothing hidden (`.name`, `._name`)."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in suffixes
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


def not_annotated(root: Path, annotated: Set[Path]) -> Iterator[Record]:
    """A record without annotation for every image below `root` whose real path is not among `annotated`."""
    for path in visible_files(root, IMAGE_SUFFIXES):
        if path.resolve() not in annotated:
            yield Record(path.relative_to(root).as_posix(), path, annotation=None, where=str(path))


def locate(root: Path, folder: Path, name: str, what: str) -> Path:
    """The real path of the file that an annotation calls `name`, seen from `folder`; it need not exist.

    Backslashes separate folders too, as LabelMe writes them on Windows. Raises UserError, opening with `what`,
    where the path leaves `root`, by `..`, by an absolute path or by a symlink.
    """
    try:
        path = (folder / name.replace("\\", "/")).resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of symlinks, a null character
        raise UserError(f"{what} {name!r:.200} is not a usable path; correct it.") from None
    if not path.is_relative_to(root.resolve()):
        raise UserError(
            f"{what} {name!r:.200} leads out of {root}; put the file inside and name it from there."
        )
    return path
