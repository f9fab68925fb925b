"""Folders of masks: images, and arrays that NumPy saved; two-valued, of labels or of probabilities."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from refvessel import rle
from refvessel.dataset.problems import Problems
from refvessel.dataset.readers.source_files import IMAGE_SUFFIXES
from refvessel.dataset.regions.label_images import LabelImage, levels, read_binary_mask
from refvessel.errors import UserError
from refvessel.image_files import DEEP_GREY, decode_file, size_of_file
from refvessel.imports.mask_files import MaskFile, mask_files
from refvessel.imports.pixel_values import GreyThreshold, foreground, masks_by_label, plane_of, read_array
from refvessel.imports.source import Answer, Source
from refvessel.mask_logits import MODEL_THRESHOLD

_ARRAYS = frozenset({".npy", ".npz"})
_ENDING = "[A-Za-z]+"
_HIGHEST = {True: 65535, False: 255}  # grey level, of 16 bits and of 8


def read(source: Source) -> Iterator[Answer]:
    """The masks of a folder."""
    by_value = source.phrases.by_value
    level = source.settings.options.threshold
    threshold = None if level is None else GreyThreshold(level)
    for file in mask_files(source, IMAGE_SUFFIXES | _ARRAYS, _ENDING):
        with source.about(file.image_id):
            source.files[file.path] = file.image_id
            masks = _masks(source, file, by_value if file.folder is None else None, threshold)
            yield from answers_of(source, file, masks)
    if threshold is not None:
        with source.problems.collect():
            threshold.require_reached(str(source.root))


def answers_of(source: Source, file: MaskFile, masks: Mapping[str | None, rle.RLE]) -> Iterator[Answer]:
    """The masks of a file as answers, by their label; None: the file's own folder says, or the settings do."""
    where = str(file.path)
    for label, mask in masks.items():
        named = file.folder if label is None else label
        phrase = source.phrases.only if named is None else source.phrases.of(named, where)
        if phrase is None and named is None:
            raise UserError(
                f"{where}: nothing says which phrase it is of; state phrases or a pattern with {{phrase}}."
            )
        if phrase is not None:
            yield Answer(file.image_id, phrase, mask, where)


def image_masks(
    path: Path, by_value: Mapping[int, str] | None, threshold: GreyThreshold | None = None
) -> dict[str | None, rle.RLE]:
    """The masks in an image file by label, or under None its foreground.

    Args:
        path: the file.
        by_value: value of a pixel -> label; None: it is two-valued.
        threshold: the grey level from which on a pixel of a two-valued one is foreground.

    Raises:
        UserError: where it is not clear what is foreground.
    """
    if by_value is None and threshold is not None:
        found, _ = levels(decode_file(path), str(path), threshold.level)
        return {None: rle.encode(threshold.foreground(found))}
    if by_value is None:
        return {None: rle.encode(read_binary_mask(path, None))}
    width, height = size_of_file(path)
    masks: dict[str | None, rle.RLE] = {label: rle.empty(height, width) for label in by_value.values()}
    for region in LabelImage(path, by_value, frozenset(), str(path)).regions(Problems()):
        drawn = region.draw((width, height), None).mask
        masks[region.label] = rle.union([masks[region.label], drawn])
    return masks


def _masks(
    source: Source, file: MaskFile, by_value: Mapping[int, str] | None, threshold: GreyThreshold | None
) -> dict[str | None, rle.RLE]:
    options, path, where = source.settings.options, file.path, str(file.path)
    if path.suffix.lower() in _ARRAYS:
        array = plane_of(read_array(path, source.wanted.sizes[file.image_id]), where)
        source.require_size(array.shape[::-1], file.image_id, where)
        if by_value is not None:
            found = masks_by_label(array, by_value, where)
            return {label: rle.encode(mask) for label, mask in found.items()}
        return {None: rle.encode(foreground(array, threshold, where))}
    source.require_size(size_of_file(path), file.image_id, where)
    if options.probabilities:
        return {None: rle.encode(_probable(path))}
    return image_masks(path, by_value, threshold)


def _probable(path: Path) -> np.ndarray:
    """Where a map of probabilities says that a pixel is rather foreground, bool (height, width)."""
    image = decode_file(path)
    found, _ = levels(image, str(path))
    return found > MODEL_THRESHOLD * _HIGHEST[image.mode in ("I", *DEEP_GREY)]
