"""What an artifact was made from: versions and file hashes."""

import hashlib
import json
import os
import platform
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, TypedDict

from refvessel import __version__
from refvessel.files import sha256_of_file

_PACKAGES = (
    "connected-components-3d",
    "nibabel",
    "numpy",
    "opencv-python-headless",
    "pandas",
    "pillow",
    "pycocotools",
    "pydicom",
    "safetensors",
    "scikit-image",
    "scipy",
    "torch",
    "transformers",
)


def versions() -> dict[str, str]:
    """Versions of RefVessel, Python and the libraries that can change a number; absent ones are left out."""
    return {"refvessel": __version__, "python": platform.python_version()} | _installed()


@cache
def _installed() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


class FileRecord(TypedDict):
    """What a file was, wherever it lay."""

    name: str
    bytes: int
    sha256: str


def file_record(path: Path) -> FileRecord:
    """Name (without folders: a path can identify a person), size in bytes and SHA-256 of an input file."""
    path = Path(path)
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256_of_file(path)}


def identity_of_tensors(tensors: Mapping[str, Mapping[str, Any]], files: Mapping[str, str]) -> str:
    """SHA-256 over every tensor's name, dtype, shape and hash and every other file's name and hash.

    It depends neither on the order of tensors nor on how they are spread over shards.
    """
    content = {
        "tensors": {
            name: [entry["dtype"], entry["shape"], entry["sha256"]] for name, entry in tensors.items()
        },
        "files": {**files},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@cache
def folder_state(folder: Path) -> str:
    """SHA-256 over the relative paths, sizes and times of change of all visible files below a folder.

    For Snakemake's `params`: of a folder it sees the time alone, which a file edited in place does not change.
    Seen once a process.
    """
    digest = hashlib.sha256()
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in names if not name.startswith(".")):
            path = os.path.join(parent, name)  # noqa: PTH118 (there may be 100,000)
            with suppress(FileNotFoundError):  # a link to nothing
                state = os.stat(path)  # noqa: PTH116
                digest.update(
                    f"{path[len(str(folder)) :]}\0{state.st_size}\0{state.st_mtime_ns}\0".encode(
                        "utf-8", "surrogateescape"
                    )
                )
    return digest.hexdigest()


def state_of_files(settings: Mapping[str, Any], paths: Iterable[Path]) -> str:
    """SHA-256 over settings, whatever their order, and the state of files and of all below folders.

    For Snakemake's `params`, which it keeps in the clear: no path shows. What is not there does not count.
    """
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for path in paths:
        if path.is_dir():
            digest.update(folder_state(path).encode())
        elif path.is_file():
            digest.update(f"{path.stat().st_size}\0{path.stat().st_mtime_ns}\0".encode())
    return digest.hexdigest()


def state_of_data(settings: Mapping[str, Any], *, with_root: bool) -> str:
    """SHA-256 over a data set's settings, whatever their order, and the state of its files.

    For Snakemake's `params`, which it keeps in the clear: no path shows. `with_root` looks at the files below
    `root`, too; the lists `patients` and `trained_on` always count.
    """
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    if with_root:
        digest.update(folder_state(Path(settings["root"])).encode())
    for name in ("patients", "trained_on"):
        if settings[name] and (path := Path(settings[name])).is_file():
            digest.update(f"{path.stat().st_size}\0{path.stat().st_mtime_ns}\0".encode())
    return digest.hexdigest()
