"""Mask logits beside a shard, from which masks at other thresholds are made.

While a shard is being written they are in parts, one a batch, `NAME.logits/{first sent_id}.npz`; when it is
finished, in one compressed file. Both are laid out as `refvessel.logits` says.
"""

import shutil
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import torch

from refvessel.files import atomic_file
from refvessel.logits import logits_file, read_logits, stored_sent_ids
from refvessel.model.modeling import upsample_logits


def masks_of_logits(logits: np.ndarray, *, height: int, width: int, threshold: float) -> np.ndarray:
    """Masks of one expression at its image's size.

    Args:
        logits: (masks, size/4, size/4).
        height: of the image, in pixels.
        width: of the image, in pixels.
        threshold: the probability above which a pixel is foreground, from 0 to 1, both excluded.

    Returns:
        bool (masks, height, width)
    """
    return image_logits(logits, height=height, width=width) > logit(threshold)


def image_logits(logits: np.ndarray, *, height: int, width: int) -> np.ndarray:
    """Logits of one expression at its image's size: (masks, size/4, size/4) to float32 (masks, height, width)."""
    at_decoder = torch.from_numpy(np.asarray(logits, np.float32))
    return upsample_logits(at_decoder, 4 * logits.shape[-1], height, width).numpy()


def logit(probability: np.ndarray | float) -> np.ndarray:
    """The logits of probabilities, float32 as the logits that they are compared with."""
    return (np.log(probability) - np.log1p(-np.asarray(probability))).astype(np.float32)


class LogitsWriter:
    """The logits of a shard that is being written."""

    def __init__(self, shard: Path) -> None:
        self._file = logits_file(shard)
        self._parts = self._file.with_suffix("")

    def stored(self) -> set[int]:
        """The sent_ids whose logits are on the disk."""
        return set(self._places())

    def add(self, logits: Mapping[int, np.ndarray]) -> None:
        """Store the logits of some expressions; they are on the disk when this returns."""
        if logits:
            with atomic_file(self._parts / f"{min(logits)}.npz") as temporary:
                np.savez(temporary, **{str(sent_id): array for sent_id, array in logits.items()})

    def finish(self, sent_ids: Collection[int]) -> None:
        """Put the logits of these expressions into the one file; one that is complete is left alone."""
        if self._file.exists() and not self._parts.exists():
            return
        places = self._places()
        with (
            atomic_file(self._file) as temporary,
            zipfile.ZipFile(temporary, "w") as archive,
        ):
            for path in dict.fromkeys(places.values()):
                for sent_id, array in read_logits(path):
                    if sent_id in sent_ids and places[sent_id] == path:
                        entry = zipfile.ZipInfo(
                            f"{sent_id}.npy"
                        )  # without the time: the same bytes every time
                        entry.compress_type = zipfile.ZIP_DEFLATED
                        with archive.open(entry, "w") as stream:
                            np.lib.format.write_array(stream, array, allow_pickle=False)
        shutil.rmtree(self._parts, ignore_errors=True)

    def _places(self) -> dict[int, Path]:
        """sent_id -> a file with its logits; where a killed job left them twice, they are the same."""
        places = {}
        for path in [*filter(Path.exists, [self._file]), *sorted(self._parts.glob("[0-9]*.npz"))]:
            places |= dict.fromkeys(stored_sent_ids(path), path)
        return places
