"""The files below the folder that holds the data: which are there, and which one an annotation means."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from refvessel.dataset.spellings import spellings
from refvessel.errors import UserError

IMAGE_SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)


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
    yield from spellings(name.replace("\\", "/"))
