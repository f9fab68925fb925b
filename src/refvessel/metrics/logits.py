"""Stored mask logits and what they say at an image's size, without torch.

A file has an array a sent_id: float16 (number of [SEG], side, side), where SAM2's input has four times the side.
"""

import zipfile
import zlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from refvessel.errors import UserError

_SCALE = 4  # from the logits to SAM2's input, in each direction


def stored_sent_ids(path: Path) -> list[int]:
    """The expressions whose logits a file holds; raises UserError where it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return [int(name) for name in arrays.files]
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; set save_logits and segment again.") from None
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise _damaged(path, str(error)) from None


def read_logits(path: Path, sent_ids: Iterable[int]) -> Iterator[np.ndarray]:
    """The logits of some expressions of a file, in their order; raises UserError where they are damaged."""
    with np.load(path, allow_pickle=False) as arrays:
        for sent_id in sent_ids:
            try:
                logits = arrays[str(sent_id)]
            except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
                raise _damaged(path, str(error)) from None
            if logits.ndim != 3 or logits.shape[1] != logits.shape[2] or not np.isfinite(logits).all():
                raise _damaged(path, f"those of sent_id {sent_id} are not squares of finite numbers")
            yield logits


def image_logits(logits: np.ndarray, *, height: int, width: int) -> np.ndarray:
    """Logits of one expression at its image's size: (masks, side, side) to float32 (masks, height, width).

    Interpolated as the model's own masks are: to SAM2's square and from there to the image, linearly along both
    axes, which is one product with a matrix an axis.
    """
    side = logits.shape[-1]
    rows, columns = _to_image(side, height), _to_image(side, width)
    return np.stack([(columns @ (rows @ each).T).T for each in logits.astype(np.float32)])


@lru_cache(maxsize=64)
def _to_image(side: int, length: int) -> csr_array:
    """From `side` logits along an axis to the `length` pixels of an image, by way of SAM2's input."""
    return _interpolation(_SCALE * side, length) @ _interpolation(side, _SCALE * side)


def _interpolation(before: int, after: int) -> csr_array:
    """Linear interpolation of `before` values at the centres of `after` pixels, float32 (after, before).

    As torch's `interpolate` with `align_corners=False`, in its precision: beyond the outermost centres the values
    go on as they are.
    """
    scale = np.float32(before / after)
    places = np.maximum(scale * (np.arange(after, dtype=np.float32) + np.float32(0.5)) - np.float32(0.5), 0)
    first = np.minimum(places.astype(int), before - 1)
    second = np.minimum(first + 1, before - 1)
    share = places - first.astype(np.float32)
    weights = np.concatenate([1 - share, share]).astype(np.float32)
    cells = np.tile(np.arange(after), 2), np.concatenate([first, second])
    return csr_array((weights, cells), shape=(after, before))  # what falls on one cell is added up


def _damaged(path: Path, what: str) -> UserError:
    return UserError(f"{path} is not a file of logits ({what}); segment again.")
