"""Files that only their owner can read, in folders that only their owner can enter."""

import os
from pathlib import Path

_FOLDER = 0o700


def private_folder(folder: Path) -> Path:
    """Make `folder`, and close it to others; so are those of its parents that are made on the way."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=_FOLDER, exist_ok=True)
    folder.chmod(_FOLDER)
    return folder


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600, replacing an older one, in a folder of mode 0700."""
    private_folder(path.parent)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write(text)
