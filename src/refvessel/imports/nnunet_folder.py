"""nnU-Net's output: one label image per case, NIfTI or what its images were, with dataset.json and perhaps .npz.

NIfTI counts its first axis along the rows of an image: SimpleITK, with which nnU-Net writes, and ITK-SNAP do.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from refvessel import rle
from refvessel.dataset.fields import require
from refvessel.dataset.readers.source_files import IMAGE_SUFFIXES
from refvessel.errors import UserError
from refvessel.files import read_json
from refvessel.image_files import size_of_file
from refvessel.imports.mask_files import MaskFile, mask_files
from refvessel.imports.mask_folder import answers_of, image_masks
from refvessel.imports.pixel_values import foreground, masks_by_label, plane_of, read_array
from refvessel.imports.source import Answer, Source

DESCRIPTION = "dataset.json"  # nnU-Net's own: labels by name
_NIFTI = (".nii.gz", ".nii")
_SUFFIXES = frozenset({".gz", ".nii"}) | IMAGE_SUFFIXES
_ENDING = r"nii\.gz|nii|bmp|png|tif|tiff"
_PROBABILITIES = ".npz"


def read(source: Source) -> Iterator[Answer]:
    """The label images of a folder; its dataset.json names the labels where the settings do not."""
    by_value = source.phrases.by_value or _labels(source)
    for file in mask_files(source, _SUFFIXES, _ENDING):
        with source.about(file.image_id):
            source.files[file.path] = file.image_id
            values = by_value if file.folder is None else None
            if file.path.name.lower().endswith(_NIFTI):
                masks = _masks_of_nifti(source, file, values)
            else:
                source.require_size(size_of_file(file.path), file.image_id, str(file.path))
                masks = image_masks(file.path, values)
            yield from answers_of(source, file, masks)


def _labels(source: Source) -> dict[int, str] | None:
    """Value -> label of the folder's dataset.json; None where it has none, or one phrase is stated."""
    path = source.root / DESCRIPTION
    if not path.is_file() or source.phrases.only is not None:
        return None
    source.files[path] = None
    labels = require(read_json(path), "labels", dict, str(path))
    if not all(type(value) is int for value in labels.values()):
        raise UserError(
            f"{path}: labels of several values are not read; state in phrases what each value is."
        )
    return {value: label for label, value in labels.items() if value}


def _masks_of_nifti(
    source: Source, file: MaskFile, by_value: Mapping[int, str] | None
) -> dict[str | None, rle.RLE]:
    where = str(file.path)
    values = read_nifti(file.path, transposed=bool(source.settings.options.transposed))
    source.require_size(values.shape[::-1], file.image_id, where)
    _require_agreement(source, file, values)
    if by_value is None:
        return {None: rle.encode(foreground(values, None, where))}
    return {label: rle.encode(mask) for label, mask in masks_by_label(values, by_value, where).items()}


def read_nifti(path: Path, *, transposed: bool) -> np.ndarray:
    """The numbers of a NIfTI file of one slice, (height, width).

    Args:
        path: the file.
        transposed: whether its first axis runs down the image.

    Raises:
        UserError: where it does not open, or has more than one slice.
    """
    try:
        image = nibabel.Nifti1Image.from_filename(path)
        shape = image.shape
        if (
            len(shape) < 2
            or shape[0] * shape[1] > rle.MOST_PIXELS
            or any(length != 1 for length in shape[2:])
        ):
            raise UserError(f"{path} has the shape {shape}; give one slice per file.")
        found = np.asanyarray(image.dataobj).reshape(shape[:2])
    except (ImageFileError, HeaderDataError, OSError, EOFError, ValueError) as error:
        raise UserError(f"{path} does not open as NIfTI ({error}); replace the file.") from None
    if found.dtype.kind not in "buif":
        raise UserError(f"{path} holds no grey levels; give a label image.")
    return found if transposed else found.T


def _require_agreement(source: Source, file: MaskFile, values: np.ndarray) -> None:
    """The probabilities beside a mask tell whether its axes are taken as they are meant."""
    name = file.path.name
    stem = next(name[: -len(suffix)] for suffix in _NIFTI if name.lower().endswith(suffix))
    path = file.path.with_name(stem + _PROBABILITIES)
    if not path.is_file():
        return
    source.files[path] = file.image_id
    classes = read_array(path, source.wanted.sizes[file.image_id])
    likeliest = plane_of(np.argmax(classes, axis=0), str(path))
    if likeliest.shape != values.shape or (
        values.shape == values.T.shape and (likeliest == values.T).sum() > (likeliest == values).sum()
    ):
        raise UserError(
            f"{file.path} and the probabilities beside it are of exchanged axes; set the option transposed "
            f"{'to false' if source.settings.options.transposed else 'to true'}."
        )
