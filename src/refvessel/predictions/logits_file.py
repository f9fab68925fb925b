"""The file of mask logits beside a finished shard, `NAME.logits.npz`: its form, how it is read and written.

It has one array per sent_id, which names it: float16 (number of [SEG], side, side), where SAM2's input has four
times the side. Expressions without [SEG] have none.
"""

import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from refvessel.artifacts import LOGITS_SUFFIX, beside
from refvessel.errors import UserError
from refvessel.files import atomic_file


def logits_file(shard: Path) -> Path:
    """Where the logits of a finished shard lie."""
    return beside(shard, LOGITS_SUFFIX)


def name_of_array(sent_id: int) -> str:
    """What the array of an expression is called in the file."""
    return str(sent_id)


def write_logits(path: Path, logits: Iterable[tuple[int, np.ndarray]]) -> None:
    """Write the file, compressed and atomically: sent_ids and their logits; the same ones give the same bytes."""
    with atomic_file(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for sent_id, array in logits:
            entry = zipfile.ZipInfo(f"{name_of_array(sent_id)}.npy")  # which has no time
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w") as stream:
                np.lib.format.write_array(stream, array, allow_pickle=False)


def stored_sent_ids(path: Path) -> list[int]:
    """The expressions whose logits a file holds; raises UserError where it is missing or damaged."""
    return [int(name) for name in stored_names(path)]


def stored_names(path: Path) -> list[str]:
    """The names of a file's arrays; raises UserError where it is missing or damaged."""
    with _opened(path) as arrays:
        return list(arrays.files)


def read_logits(path: Path, sent_ids: Iterable[int] | None = None) -> Iterator[tuple[int, np.ndarray]]:
    """Some expressions of a file and their logits, in the order asked for; None: all of them.

    Raises UserError where the file is missing or damaged, and for logits that are no squares of finite numbers.
    """
    wanted = stored_sent_ids(path) if sent_ids is None else list(sent_ids)
    yield from zip(wanted, read_arrays(path, map(name_of_array, wanted)), strict=True)


def read_arrays(path: Path, names: Iterable[str]) -> Iterator[np.ndarray]:
    """Arrays of a file by their names, in the order asked for; raises as `read_logits` does."""
    with _opened(path) as arrays:
        for name in names:
            logits = arrays[name]
            if logits.ndim != 3 or logits.shape[1] != logits.shape[2] or not np.isfinite(logits).all():
                raise ValueError(f"its array {name} is no stack of squares of finite numbers")
            yield logits


@contextmanager
def _opened(path: Path) -> Iterator[np.lib.npyio.NpzFile]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            yield arrays
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; set save_logits and segment again.") from None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path} is not a file of logits ({error}); segment again.") from None
