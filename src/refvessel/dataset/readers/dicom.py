"""DICOM: X-ray angiography, a file a run or a frame; every frame is an image, annotated in LabelMe files beside
it.

`run.dcm` of one frame is annotated by `run.json`; frame 12 of a run by `run_12.json` (zeros before the number
do not matter, frames count from 1). The patient is the PatientID. Pixels become 8-bit: modality and window as
the file states them (its first window; without one the whole stored range), MONOCHROME1 inverted, YBR and
palettes as RGB.
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from PIL import Image
from pydicom.misc import is_dicom
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi, apply_windowing, pixel_array

from refvessel.dataset.fields import optional_size
from refvessel.dataset.images import encode_png
from refvessel.dataset.problems import Problems
from refvessel.dataset.readers.labelme import read_shapes
from refvessel.dataset.readers.records import IMAGE_SUFFIXES, Record, locate, visible_files
from refvessel.errors import UserError
from refvessel.files import read_json

_IDENTIFYING = (
    "PatientName",
    "PatientID",
    "OtherPatientIDs",
    "OtherPatientNames",
    "PatientBirthDate",
    "AccessionNumber",
    "StudyID",
    "InstitutionName",
    "ReferringPhysicianName",
    "PerformingPhysicianName",
    "OperatorsName",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
)
_FAR = 1e12  # beyond any window: what it maps to is the window's range


def read(root: Path, problems: Problems, *, line_width: float | None = None) -> Iterator[Record]:
    """Yield a record for every frame, in the order of paths and frames; `line_width` is LabelMe's."""
    annotations = set(visible_files(root, frozenset({".json"})))
    for path in visible_files(root, None):
        if path.suffix.lower() in IMAGE_SUFFIXES | {".json"} or not is_dicom(path):
            continue
        with problems.collect():
            real = locate(root, root, str(path.relative_to(root)), f"{root}: the file")
            header = _header(path)
            if "Rows" not in header:
                continue  # a directory or a report: nothing to see
            beside = _annotations_beside(path, annotations)
            annotations -= set(beside.values())
            frames = int(header.get("NumberOfFrames") or 1)
            if surplus := sorted(beside.keys() - range(1, frames + 1)):
                raise UserError(
                    f"{beside[surplus[0]]}: {path.name} has {frames} frames, not {surplus[0]}; rename it."
                )
            for frame in range(1, frames + 1):
                yield _record(root, real, header, frame, frames, beside.get(frame), problems, line_width)
    for path in sorted(annotations):
        problems.add(f"{path}: no DICOM file or frame of this name; add it or remove the annotation.")


def frame_as_png(path: Path, *, frame: int) -> bytes:
    """Frame number `frame`, from 1, as an 8-bit PNG; raises UserError where it cannot be decoded or shown."""
    header = _header(path)
    try:
        pixels = pixel_array(path, index=frame - 1)
    # Damaged files make the decoders raise nearly anything; none of it is a bug of ours.
    except Exception as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} frame {frame} cannot be decoded ({reason}); replace the file.") from None
    kind = header.get("PhotometricInterpretation")
    if kind in ("MONOCHROME1", "MONOCHROME2"):
        grey = _windowed(np.asarray(apply_modality_lut(pixels, header)), header)
        eight_bit = np.rint(255 - grey if kind == "MONOCHROME1" else grey).astype(np.uint8)
    elif kind == "PALETTE COLOR":
        colours = apply_color_lut(pixels, header)
        eight_bit = np.rint(colours / (257 if colours.dtype == np.uint16 else 1)).astype(np.uint8)
    elif pixels.dtype == np.uint8 and pixels.ndim == 3:
        eight_bit = pixels  # RGB, and YBR, which pydicom turns into RGB
    else:
        raise UserError(f"{path} holds {kind} of {pixels.dtype}; save it as 8-bit RGB or as grey.")
    return encode_png(Image.fromarray(eight_bit))


def _record(
    root: Path,
    path: Path,
    header: pydicom.Dataset,
    frame: int,
    frames: int,
    annotation: Path | None,
    problems: Problems,
    line_width: float | None,
) -> Record:
    name = path.relative_to(root.resolve()).as_posix()
    name = name[: -len(".dcm")] if name.lower().endswith(".dcm") else name
    at_the_detector = "PixelSpacing" not in header and "ImagerPixelSpacing" in header
    content = None if annotation is None else read_json(annotation)
    return Record(
        # A suffix is taken off names; a UID's last number must not be mistaken for one.
        name=f"{name}.dcm" if frames == 1 else f"{name}/{frame:04d}.dcm",
        path=path,
        annotation=annotation,
        where=f"{annotation or path} frame {frame}",
        regions=() if content is None else read_shapes(content, str(annotation), problems, line_width),
        stated_size=None
        if content is None
        else optional_size(content, "imageWidth", "imageHeight", str(annotation)),
        spacing=_spacing(header, path),
        load=partial(frame_as_png, frame=frame),
        patient=str(header.get("PatientID") or "").strip(),
        frame=frame if frames > 1 else _whole_number(header.get("InstanceNumber")),
        identifiers=tuple(_identifiers(header)),
        counts={
            "images_with_burned_in_text": int(header.get("BurnedInAnnotation") == "YES"),
            "images_with_spacing_at_the_detector": int(at_the_detector),
        },
    )


def _header(path: Path) -> pydicom.Dataset:
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True)
    except Exception as error:  # as above
        raise UserError(f"{path} does not open as DICOM ({error}); replace the file.") from None
    if "PerFrameFunctionalGroupsSequence" in header:
        raise UserError(f"{path} is an enhanced DICOM image; export it as classic X-ray angiography (XA).")
    return header


def _annotations_beside(path: Path, annotations: set[Path]) -> dict[int, Path]:
    """Frame number -> LabelMe file; a file without a number is of frame 1."""
    base = path.name[: -len(".dcm")] if path.name.lower().endswith(".dcm") else path.name
    pattern = re.compile(re.escape(base) + r"(?:_(\d+))?\.json")
    found: dict[int, Path] = {}
    for candidate in sorted(annotations):
        match = pattern.fullmatch(candidate.name) if candidate.parent == path.parent else None
        if match is None:
            continue
        frame = int(match[1] or 1)
        if frame in found:
            raise UserError(f"{found[frame]} and {candidate} both annotate frame {frame}; keep or merge one.")
        found[frame] = candidate
    return found


def _windowed(values: np.ndarray, header: pydicom.Dataset) -> np.ndarray:
    """Values after the modality transformation, as float64 from 0 to 255, by the file's own window or table."""
    values = values.astype(float)
    if "VOILUTSequence" in header:
        shown = apply_voi(values.astype(np.int64), header).astype(float)
        low, high = 0.0, 2.0 ** header.VOILUTSequence[0].LUTDescriptor[2] - 1
    elif "WindowCenter" in header:
        shown = apply_windowing(values, header)
        low, high = apply_windowing(np.array([-_FAR, _FAR]), header)
    else:
        shown = values
        stored = np.array([0, 2**header.BitsStored - 1])
        if header.PixelRepresentation == 1:
            stored = stored - 2 ** (header.BitsStored - 1)
        low, high = sorted(np.asarray(apply_modality_lut(stored, header), float))
    return np.clip((shown - low) / (high - low), 0, 1) * 255


def _spacing(header: pydicom.Dataset, path: Path) -> tuple[float, float] | None:
    """Millimetres a pixel at the patient where calibrated, else at the detector over the magnification stated."""
    spacing = header.get("PixelSpacing")
    magnification = 1.0
    if spacing is None:
        spacing = header.get("ImagerPixelSpacing")
        magnification = float(header.get("EstimatedRadiographicMagnificationFactor") or 1)
    if not spacing:
        return None
    rows, columns = (float(value) / magnification for value in spacing)
    if not (0 < rows < np.inf and 0 < columns < np.inf):
        raise UserError(f"{path} states a pixel spacing of {rows:g} x {columns:g} mm; correct or remove it.")
    return rows, columns


def _identifiers(header: pydicom.Dataset) -> Iterator[str]:
    for keyword in _IDENTIFYING:
        value = header.get(keyword)
        for item in value if isinstance(value, pydicom.multival.MultiValue) else [value]:
            if item is not None and str(item).strip():
                yield str(item).strip()


def _whole_number(value: Any) -> int | None:
    return None if value is None else int(value)
