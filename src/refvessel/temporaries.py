"""Temporary files and folders beside what they are to become, swept where their writer was killed."""

import glob
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from refvessel.locks import THIS_MACHINE, lock_of

# Part of their names: a machine sweeps only what it wrote itself.
_HERE = f"tmp-{THIS_MACHINE}"
_NAME = re.compile(rf"\..+\.{_HERE}\.[a-z0-9_]{{8}}(\.[^.]*)?")


@contextmanager
def new_temporary(path: Path, make: Callable[[Path], Path]) -> Iterator[Path]:
    """A new file or folder (`make` is `new_file` or `new_folder`) beside `path`.

    It is locked until the block ends, so that no other process sweeps it. What a killed process was writing in
    order to become `path` is swept.
    """
    with ExitStack() as held:
        while True:
            path.parent.mkdir(parents=True, exist_ok=True)
            for abandoned in path.parent.glob(f"{glob.escape(_prefix(path))}*"):
                _remove_unless_written(abandoned)
            temporary = make(path)
            with suppress(FileNotFoundError):  # swept before it was locked
                if held.enter_context(lock_of(temporary, shared=True)) is not False and temporary.exists():
                    break
        yield temporary


def new_file(path: Path) -> Path:
    """An empty file with a temporary name beside `path`."""
    descriptor, name = tempfile.mkstemp(prefix=_prefix(path), suffix=path.suffix, dir=path.parent)
    os.close(descriptor)
    return Path(name)


def new_folder(path: Path) -> Path:
    """An empty folder with a temporary name beside `path`."""
    return Path(tempfile.mkdtemp(prefix=_prefix(path), dir=path.parent))


def sweep(folder: Path) -> None:
    """Remove below `folder` what killed processes of this machine were writing, as their temporary names tell."""
    for parent, folders, names in os.walk(folder):
        for name in filter(_NAME.fullmatch, [*folders, *names]):
            _remove_unless_written(Path(parent, name))
        folders[:] = [name for name in folders if not _NAME.fullmatch(name)]


def _prefix(path: Path) -> str:
    return f".{path.name}.{_HERE}."


def _remove_unless_written(temporary: Path) -> None:
    """Remove a temporary file or folder, unless the process that writes it lives and so holds its lock."""
    with suppress(OSError), lock_of(temporary) as abandoned:  # swept by another, or not ours to remove
        if abandoned and temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        elif abandoned:
            temporary.unlink()
