"""What is foreground in an array of numbers, which no image file holds."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from refvessel.errors import UserError
from refvessel.mask_logits import MODEL_THRESHOLD

_MOST_BYTES = 8  # of a number
_MOST_CLASSES = 256
_HEADER = 1 << 16  # bytes, at most
_ZIPPED = ".npz"
_PROBABILITIES = "probabilities"  # nnU-Net's name of them


def read_array(path: Path, size: tuple[int, int]) -> np.ndarray:
    """The array in a .npy or .npz file, (height, width) or more axes; UserError where it is no array of numbers.

    Args:
        path: the file; of several arrays in a .npz, the one that is called `probabilities`.
        size: (width, height) of the image, which bounds what is read.
    """
    most = size[0] * size[1] * _MOST_BYTES * _MOST_CLASSES + _HEADER
    try:
        if path.suffix.lower() != _ZIPPED:
            return _numbers(np.load(path, mmap_mode="r", allow_pickle=False), path)
        with zipfile.ZipFile(path) as archive:
            if max((each.file_size for each in archive.infolist()), default=0) > most:
                raise UserError(f"{path} holds more numbers than its image has pixels; give its mask alone.")
        with np.load(path, allow_pickle=False) as arrays:
            name = _PROBABILITIES if _PROBABILITIES in arrays.files else arrays.files[0]
            if len(arrays.files) > 1 and name != _PROBABILITIES:
                raise UserError(f"{path} holds {len(arrays.files)} arrays; save the mask alone.")
            return _numbers(arrays[name], path)
    except (ValueError, OSError, EOFError, IndexError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is no file of an array ({error}); save it with numpy.save.") from None


def plane_of(array: np.ndarray, where: str) -> np.ndarray:
    """An array of two axes; further ones must have the length 1. UserError, opening with `where`, for others."""
    plane = array
    while plane.ndim > 2 and 1 in (plane.shape[0], plane.shape[-1]):
        plane = plane[0] if plane.shape[0] == 1 else plane[..., 0]
    if plane.ndim != 2:
        raise UserError(f"{where} has an array of the shape {array.shape}; give one of (height, width).")
    return plane


class GreyThreshold:
    """The grey level from which on a pixel is foreground; it remembers the brightest pixel that it saw."""

    def __init__(self, level: float) -> None:
        self.level = level
        self._brightest = 0.0

    def foreground(self, values: np.ndarray) -> np.ndarray:
        """The foreground of whole numbers (height, width), bool; there is none where a model sees nothing."""
        self._brightest = max(self._brightest, float(values.max()))
        return np.asarray(values >= self.level)

    def require_reached(self, where: str) -> None:
        """Raise UserError, opening with `where`, if no mask reached the level and not all of them were black."""
        if 0 < self._brightest < self.level:
            raise UserError(
                f"{where}: the brightest mask reaches only {self._brightest:g}, the threshold is {self.level:g}; "
                "correct one."
            )


def foreground(values: np.ndarray, threshold: GreyThreshold | None, where: str) -> np.ndarray:
    """The foreground of a mask or map of probabilities, bool (height, width).

    Args:
        values: whole numbers, of which all but 0 or those from `threshold` on are foreground, or fractions from 0
            to 1, which are probabilities.
        threshold: of whole numbers.
        where: opens every message.

    Raises:
        UserError: where neither is the case, and where there are several levels and no threshold.
    """
    if is_fractional(values):
        if not (values.min() >= 0 and values.max() <= 1):  # which not-a-number is not, either
            raise UserError(f"{where} has fractions that are no probabilities, from 0 to 1; give those.")
        return np.asarray(values > MODEL_THRESHOLD)
    if threshold is not None:
        return threshold.foreground(values)
    levels = np.unique(values[values != 0])
    if len(levels) > 1:
        raise UserError(
            f"{where} has {len(levels)} values beside 0; say in phrases or a threshold what they are."
        )
    return np.asarray(values != 0)


def is_fractional(values: np.ndarray) -> bool:
    """Whether numbers are no whole ones."""
    return values.dtype.kind == "f" and not np.array_equal(values, np.rint(values))


def masks_by_label(values: np.ndarray, by_value: Mapping[int, str], where: str) -> dict[str, np.ndarray]:
    """By label, its pixels, bool (height, width); values without a label are an error, but for 0.

    Args:
        values: whole numbers (height, width).
        by_value: value -> label.
        where: opens every message.

    Raises:
        UserError: where a value has no label, or the numbers are no whole ones.
    """
    if is_fractional(values):
        raise UserError(f"{where} has fractions where values of labels are expected; give a label image.")
    if strange := sorted({int(value) for value in np.unique(values)} - by_value.keys() - {0}):
        raise UserError(f"{where} has the value {strange[0]}, which no phrase is stated for; add it.")
    masks: dict[str, np.ndarray] = {}
    for value, label in by_value.items():
        masks[label] = masks.get(label, False) | (values == value)
    return masks


def _numbers(array: np.ndarray, path: Path) -> np.ndarray:
    if array.dtype.kind not in "buif" or not array.size:
        raise UserError(f"{path} holds no numbers; save the mask as whole numbers or probabilities.")
    return array
