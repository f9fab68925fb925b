"""What every reader yields: one record per image, whatever the format.

A reader is a function `read(root, problems)` that yields records and hands what is wrong with the data to
`problems`, so that all of it can be told at once. What else it must know are keyword arguments with defaults: the
`options` of the configuration. A new format is one module with such a function, and its name in FORMATS.
"""

import errno
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from refvessel.dataset.problems import Problems
from refvessel.dataset.regions.label_images import OutsideOf
from refvessel.dataset.regions.shapes import Region, Runs
from refvessel.errors import UserError
from refvessel.files import read_bytes

IMAGE_SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)


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


def visible_files(folder: Path, suffixes: frozenset[str] | None) -> list[Path]:
    """Files below `folder` with one of the suffixes (lower case; None: any), sorted; nothing hidden (`.name`).

    Raises UserError for a link to a folder that leads out of `folder`, and for a link to a file that is not there;
    files below other links are found where they lie.
    """
    found, pending = [], [str(folder)]
    while pending:
        for entry in _visible(pending.pop()):
            if _is_endless(entry):
                raise UserError(f"{entry.path} is a link that leads to itself; remove it.")
            if entry.is_dir() and not entry.is_symlink():
                pending.append(entry.path)
            elif entry.is_dir():
                locate(folder, folder, os.path.relpath(entry.path, folder), f"{folder}: the folder")
            elif suffixes is None or Path(entry.name).suffix.lower() in suffixes:
                if entry.is_file():
                    found.append(_speakable(entry.path))
                elif entry.is_symlink():
                    raise UserError(
                        f"{entry.path} is a link to a file that is not there; fetch it (git annex get, dvc pull) "
                        "or remove the link."
                    )
    return sorted(map(Path, found))


def _is_endless(entry: os.DirEntry[str]) -> bool:
    try:
        entry.is_dir()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def _speakable(path: str) -> str:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise UserError(f"{path!r} is not a name in UTF-8; rename the file.") from None
    return path


def _visible(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise UserError(f"{folder} cannot be read ({error.strerror}); check its permissions.") from None


def not_annotated(root: Path, annotated: Set[Path]) -> Iterator[Record]:
    """A record without annotation for every image below `root` whose real path is not among `annotated`."""
    for path in visible_files(root, IMAGE_SUFFIXES):
        if Path(os.path.realpath(path)) not in annotated:
            yield Record(path.relative_to(root).as_posix(), path, annotation=None, where=str(path))


def locate(root: Path, folder: Path, name: str, what: str) -> Path:
    """The real path of the file that an annotation calls `name`, seen from `folder`; it need not exist.

    Where there is no file of this name, backslashes separate folders, as LabelMe writes them on Windows, and
    characters may be composed otherwise, as macOS stores names. Raises UserError, opening with `what`,
    where the path leaves `root`, by `..`, by an absolute path or by a symlink.
    """
    try:
        name.encode()
        path = Path(os.path.realpath(_spelt(folder, name)))
    except (ValueError, OSError):  # a null character, half a character; longer than names can be
        raise UserError(f"{what} {name!r:.200} is not a usable path; correct it.") from None
    if not path.is_relative_to(os.path.realpath(root)):
        raise UserError(
            f"{what} {name!r:.200} leads out of {root}; put the file inside and name it from there."
        )
    return path


def visible_name(root: Path, folder: Path, name: str) -> str:
    """The path below `root`, POSIX form, at which a user sees what an annotation in `folder` calls `name`.

    Links stay as they are. Under DataLad, git-annex or DVC images are links to files that are named by their
    content, which says nothing of who is on them.
    """
    path = _spelt(folder, name)
    seen = Path(os.path.normpath(Path.cwd() / path))
    top = Path(os.path.normpath(Path.cwd() / root))
    # `..` behind a link to a folder is not where it seems to be.
    if not seen.is_relative_to(top) or seen.resolve() != path.resolve():
        seen, top = path.resolve(), root.resolve()
    return seen.relative_to(top).as_posix()


def _spelt(folder: Path, name: str) -> Path:
    """The path in the spelling that exists; in POSIX form where none does. ValueError for what is no path."""
    name.encode()
    candidates = (folder / spelling for spelling in _spellings(name))
    return next((path for path in candidates if path.exists()), folder / name.replace("\\", "/"))


def _spellings(name: str) -> Iterator[str]:
    yield name
    yield (windows := name.replace("\\", "/"))
    yield from (unicodedata.normalize(form, windows) for form in ("NFC", "NFD"))


def frame_number(text: str | None, name: str) -> int | None:
    """A frame's number as a name has it; raises UserError where it is not written in digits."""
    if text is None:
        return None
    if not text.isdecimal():
        raise UserError(f"{name}: the frame {text!r} is not a number; correct the pattern.")
    return int(text)
