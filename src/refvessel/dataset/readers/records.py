"""What every reader yields: one record per image, whatever the format.

A reader is a function `read(root, problems)` that yields records and hands what is wrong with the data to
`problems`, so that all of it can be told at once. What else it must know are keyword arguments with defaults: the
`options` of the configuration. A new format is one module with such a function, and its name in FORMATS.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from refvessel.dataset.problems import Problems
from refvessel.dataset.readers.source_files import IMAGE_SUFFIXES, visible_files
from refvessel.dataset.regions.label_images import OutsideOf
from refvessel.dataset.regions.shapes import Region, Runs
from refvessel.errors import UserError
from refvessel.files import read_bytes


class RegionFile(Protocol):
    """A file of regions that is read only when the truth is drawn, so that no regions are kept for all images."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def where(self) -> str:
        """The file as messages name it."""

    @property
    def labels(self) -> Iterable[str]:
        """The labels that may occur."""

    def regions(self, problems: Problems) -> list[Region]:
        """The regions; what is wrong with one goes to `problems`, UserError where the file is none."""


@dataclass(frozen=True, slots=True)
class Record:
    """One image and what was annotated on it."""

    name: str  # relative path as a user sees it (`visible_name`); pseudonyms and, untold, patients derive from it
    path: Path  # the file that holds the image
    annotation: Path | None  # the file that holds the regions; None: not annotated, to be counted only
    where: str  # that file and the entry in it, for messages
    regions: tuple[Region, ...] = ()
    region_files: tuple[RegionFile, ...] = ()  # further regions
    ignore: Runs | OutsideOf | None = None  # pixels that no score looks at
    stated_size: tuple[int, int] | None = None  # (width, height) that the coordinates refer to
    upright: bool = False  # the annotation is of the image as its EXIF orientation turns it
    spacing: tuple[float, float] | None = None  # millimetres per pixel of the image: between rows, columns
    load: Callable[[Path], bytes] = read_bytes  # from `path` to an encoded image
    also_read: tuple[Path, ...] = ()  # further files of the annotation
    patient: str | None = None  # as the data say, not the name; empty where they should and do not
    frame: int | None = None
    sequence: str | None = None  # the run that it is a frame of
    split: str | None = None
    identifiers: tuple[str, ...] = ()  # further words that identify the patient, never to be published
    counts: Mapping[str, int] = field(default_factory=dict)  # what the reader had to interpret

    @property
    def labels(self) -> dict[str, str]:
        """Label -> file and field where it first occurs, for all labels that can occur."""
        named = [(region.label, region.where) for region in self.regions]
        named += [(label, file.where) for file in self.region_files for label in file.labels]
        return dict(reversed(named))

    @property
    def annotation_files(self) -> set[Path]:
        """All files that the truth is made from."""
        files = {*self.also_read, *(file.path for file in self.region_files)}
        if self.annotation is not None:
            files.add(self.annotation)
        if isinstance(self.ignore, OutsideOf):
            files.add(self.ignore.path)
        return files

    def all_regions(self, problems: Problems) -> list[Region]:
        """The regions, those of files read now; what is wrong with them goes to `problems`."""
        regions = list(self.regions)
        for file in self.region_files:
            with problems.collect():
                regions += file.regions(problems)
        return regions


Reader = Callable[..., Iterator[Record]]


def not_annotated(root: Path, annotated: Set[Path]) -> Iterator[Record]:
    """A record without annotation for every image below `root` whose real path is not among `annotated`."""
    for path in visible_files(root, IMAGE_SUFFIXES):
        if Path(os.path.realpath(path)) not in annotated:
            yield Record(path.relative_to(root).as_posix(), path, annotation=None, where=str(path))


def frame_number(text: str | None, name: str) -> int | None:
    """A frame's number as a name has it; raises UserError where it is not written in digits."""
    if text is None:
        return None
    if not text.isdecimal():
        raise UserError(f"{name}: the frame {text!r} is not a number; correct the pattern.")
    return int(text)
