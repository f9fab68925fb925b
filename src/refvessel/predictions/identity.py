"""What an answer depends on: which model, run how, was asked what about which image."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

from refvessel.artifacts import CONVERSION
from refvessel.dataset.tree.layout import INSTANCES, REFS
from refvessel.errors import UserError
from refvessel.files import read_json, sha256_of_file
from refvessel.predictions.hashing import hash_beside, hash_of_range
from refvessel.provenance import identity_of_tensors
from refvessel.safetensors_header import read_header

_INPUTS = ("preprocessor_config.json", "processor_config.json", "chat_template.jinja", "chat_template.json")
_THE_FILES = "the files"
_FILES_PER_TASK = 64  # handing a task to a thread takes as long as hashing a small file

# name, size in bytes, times of change of the content and of the file itself
ModelState = tuple[tuple[str, int, int, int], ...]


def answer_identity(run: str, image: str, prompt: str) -> str:
    """SHA-256 that names an answer.

    Args:
        run: identity of the run, see `Run.identity`.
        image: SHA-256 of the image file's bytes.
        prompt: the whole question.
    """
    return hashlib.sha256(f"{run}\0{image}\0{prompt}".encode()).hexdigest()


def sequence_identity(frames: Iterable[str], place: int) -> str:
    """What names a frame among the others of its sequence, in the place of an image's SHA-256.

    Args:
        frames: SHA-256 of each frame's file, in order.
        place: of the frame, from 0.
    """
    return hashlib.sha256(f"{' '.join(frames)} {place}".encode()).hexdigest()


def hashes_of_files(paths: Iterable[Path]) -> dict[Path, str]:
    """SHA-256 of each file, by several threads."""
    distinct = list(dict.fromkeys(paths))
    some = [distinct[first : first + _FILES_PER_TASK] for first in range(0, len(distinct), _FILES_PER_TASK)]
    with ThreadPoolExecutor() as threads:
        hashes = threads.map(lambda files: list(map(sha256_of_file, files)), some)
        return dict(zip(distinct, chain.from_iterable(hashes), strict=True))


@dataclass(frozen=True)
class ModelIdentity:
    """What names a model, whatever its folder is called.

    sha256: its conversion's own, else over its configuration, its weight files, and what says how the Qwen-VL
        families prepare images and questions.
    taken_from: the file that states it, `conversion.json`, where the files are of the sizes and times that they
        had when they were hashed for it; else the files themselves.
    state: what the files were just before.
    """

    sha256: str
    taken_from: str
    state: ModelState


def identify(folder: Path) -> "Future[ModelIdentity]":
    """The identity of a model, found by threads while the caller does something else.

    Of files that did not change since it was called before, it is what was found then, or is being found.
    """
    return _identified(Path(folder), _everything_of(Path(folder)))


@lru_cache(maxsize=64)
def _identified(folder: Path, _as_it_is: ModelState) -> "Future[ModelIdentity]":
    pool = ThreadPoolExecutor(1)
    found = pool.submit(model_identity, folder)
    pool.shutdown(wait=False)
    return found


def model_identity(folder: Path) -> ModelIdentity:
    """What names a model.

    Raises UserError where the folder holds no safetensors, and where a file is not the one that the conversion
    describes.
    """
    folder = Path(folder)
    if (folder / CONVERSION).exists():
        state = model_state(folder)
        return ModelIdentity(require_as_converted(folder)["identity"], CONVERSION, state)
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise UserError(f"{folder} holds no *.safetensors; give a Sa2VA Hugging Face folder.")
    inputs = [path for path in (folder / name for name in _INPUTS) if path.is_file()]
    files = [_required(path) for path in (folder / "config.json", *inputs, *weights)]
    state = model_state(folder)
    return ModelIdentity(hash_beside(files), _THE_FILES, state)


def require_as_converted(folder: Path) -> dict[str, Any]:
    """The content of a folder's `conversion.json`, once it is sure that it describes the folder's files.

    Only files that were touched after it was written are hashed.
    Raises UserError naming a file that is another than at conversion.
    """
    folder = Path(folder)
    path = folder / CONVERSION
    report = read_json(path)
    if not _is_consistent(report):
        raise UserError(f"{path} does not describe a conversion; convert or link the checkpoint again.")
    described_at = path.stat().st_mtime_ns
    touched = {name for name, _, *times in model_state(folder) if max(times) > described_at}
    _require_described_files(folder, report["files"], touched)
    if any(name.endswith(".safetensors") for name in touched):
        _require_described_tensors(folder, report["tensors"])
    if touched:
        with suppress(OSError):  # where it may not be written, the files are hashed each time
            os.utime(path)
    return report


def model_state(folder: Path) -> ModelState:
    """What changes where a file of a model is overwritten; links are followed."""
    return tuple(each for each in _everything_of(Path(folder)) if each[0] != CONVERSION)


def _everything_of(folder: Path) -> ModelState:
    """The same with what describes the model; nothing where there is no folder, which is told elsewhere."""
    state = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not path.name.startswith(".") and path.is_file():
            status = path.stat()
            state.append((path.name, status.st_size, status.st_mtime_ns, status.st_ctime_ns))
    return tuple(state)


def require_unchanged(model: Path, state: ModelState) -> None:
    """Raise UserError unless a model's files are still what they were: what is loaded must be what was hashed."""
    if model_state(model) != state:
        raise UserError(f"the files of {model} changed while they were read; run again.")


def dataset_identity(root: Path) -> str:
    """SHA-256 over a tree's annotations: its expressions, splits and truth masks."""
    return _hash_of_files([Path(root) / INSTANCES, Path(root) / REFS])


def _is_consistent(report: Any) -> bool:
    """Whether a report states the identity of what it describes."""
    try:
        return report["identity"] == identity_of_tensors(report["tensors"], report["files"])
    except (AttributeError, KeyError, TypeError, ValueError):
        return False


def _require_described_files(folder: Path, described: Mapping[str, str], touched: set[str]) -> None:
    for name in sorted(touched & described.keys()):
        if sha256_of_file(folder / name) != described[name]:
            raise _is_another(folder / name)
    if missing := sorted(name for name in described if not (folder / name).is_file()):
        raise UserError(f"{folder / missing[0]} does not exist; convert or link the checkpoint again.")


def _require_described_tensors(folder: Path, described: Mapping[str, Mapping[str, Any]]) -> None:
    """All weight files, since a tensor may have moved from one to another."""
    places = {
        name: (path, start, end)
        for path in sorted(folder.glob("*.safetensors"))
        for name, start, end in _tensors_of(path)
    }
    if missing := sorted(described.keys() - places.keys()):
        raise UserError(
            f"{folder} lacks the tensor {missing[0]} that its {CONVERSION} describes; "
            "convert or link the checkpoint again."
        )
    with ThreadPoolExecutor() as threads:
        hashes = threads.map(hash_of_range, places.values())
        for (name, (path, *_)), found in zip(places.items(), hashes, strict=True):
            if found != described.get(name, {}).get("sha256"):
                raise _is_another(path)


def _is_another(path: Path) -> UserError:
    return UserError(
        f"{path} is not the file that {CONVERSION} beside it describes: it was overwritten since; remove "
        f"{path.parent} and convert or link the checkpoint again."
    )


def _tensors_of(path: Path) -> list[tuple[str, int, int]]:
    """Name, first byte and end of every tensor of a safetensors file."""
    try:
        return [(name, stated.begin, stated.end) for name, stated in read_header(path).items()]
    except ValueError as error:
        raise UserError(f"{path} is no safetensors file ({error}); convert the checkpoint again.") from None


def _hash_of_files(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.name} {sha256_of_file(_required(path))}\n".encode())
    return digest.hexdigest()


def _required(path: Path) -> Path:
    if not path.is_file():
        raise UserError(f"{path} does not exist; give a complete folder.")
    return path
