"""DICOM: X-ray angiography, one file per run or per frame.

Every frame is an image (see `dicom_frames`), annotated in a LabelMe file beside it: `run.dcm` of one frame by
`run.json`; frame 12 of a run by `run_12.json` (zeros before the number do not matter, frames count from 1). The
patient is the PatientID. A run is a file of several frames, or the files of one frame of a series.
"""

import re
from collections.abc import Iterable, Iterator, Set
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.misc import is_dicom

from refvessel.dataset.fields import optional_size
from refvessel.dataset.images.dicom_frames import (
    damage_is_a_user_error,
    frame_as_png,
    header_of_frame,
    is_windowed_by_values,
    number_of_frames,
    read_header,
)
from refvessel.dataset.problems import Problems
from refvessel.dataset.readers.labelme_shapes import LabelmeShapes
from refvessel.dataset.readers.records import Record
from refvessel.dataset.readers.source_files import IMAGE_SUFFIXES, locate, visible_files
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
_NUMBERED = re.compile(r"(.+)_(\d+)")


def read(
    root: Path, problems: Problems, *, line_width: float | None = None, left_out: Set[str] = frozenset()
) -> Iterator[Record]:
    """Yield one record per frame, in the order of paths and frames; `line_width` is LabelMe's."""
    runs = _by_run(visible_files(root, frozenset({".json"})))
    for path in visible_files(root, None):
        if path.suffix.lower() in IMAGE_SUFFIXES | {".json"}:
            continue
        run = path.with_name(path.name[: -len(".dcm")]) if path.suffix.lower() == ".dcm" else path
        beside = runs.pop(run, [])
        with problems.collect():
            real = locate(root, root, str(path.relative_to(root)), f"{root}: the file")
            if path.suffix.lower() != ".dcm" and not beside and not is_dicom(path):
                continue  # another file
            header = read_header(path)
            if "Rows" not in header:
                continue  # a directory or a report: nothing to see
            yield from _records(root, path, real, header, beside, problems, line_width, left_out)
    for path in sorted(file for beside in runs.values() for _, file in beside):
        problems.add(f"{path}: no DICOM file or frame of this name; add it or remove the annotation.")


def _records(
    root: Path,
    seen: Path,
    path: Path,
    header: pydicom.Dataset,
    beside: list[tuple[int, Path]],
    problems: Problems,
    line_width: float | None,
    left_out: Set[str],
) -> Iterator[Record]:
    """One record per frame; `beside` are the numbers of frames and the files that annotate them.

    `seen` may be a link to `path`.
    """
    name = seen.relative_to(root).as_posix()
    name = name[: -len(".dcm")] if name.lower().endswith(".dcm") else name
    with damage_is_a_user_error(f"{path} has a header that cannot be read"):
        frames = number_of_frames(header, path)
        identifiers = tuple(_identifiers(header))
    annotations: dict[int, Path] = {}
    for frame, file in beside:
        with problems.collect():
            if not 1 <= frame <= frames:
                raise UserError(f"{file}: {path.name} has {frames} frames, not {frame}; rename it.")
            if annotations.setdefault(frame, file) != file:
                raise UserError(
                    f"{annotations[frame]} and {file} both annotate frame {frame}; keep or merge one."
                )
    for frame in range(1, frames + 1):
        record = None
        with problems.collect(), damage_is_a_user_error(f"{path} has a header that cannot be read"):
            record = _record(name, path, header_of_frame(header, frame, path), frame, frames, identifiers)
            if frame in annotations:
                record = _annotated(root, record, annotations[frame], line_width, left_out)
        if record is not None:
            yield record
        if problems.enough:
            return


def _record(
    name: str, path: Path, header: pydicom.Dataset, frame: int, frames: int, identifiers: tuple[str, ...]
) -> Record:
    """A frame without its annotation."""
    at_the_detector = "PixelSpacing" not in header and "ImagerPixelSpacing" in header
    return Record(
        # A suffix is taken off names; a UID's last number must not be mistaken for one.
        name=f"{name}.dcm" if frames == 1 else f"{name}/{frame:04d}.dcm",
        path=path,
        annotation=None,
        where=f"{path} frame {frame}",
        spacing=_spacing(header, path),
        load=partial(frame_as_png, frame=frame),
        patient=str(header.get("PatientID") or "").strip(),
        frame=frame if frames > 1 else _whole_number(header.get("InstanceNumber")),
        sequence=name if frames > 1 else str(header.get("SeriesInstanceUID") or "") or None,
        identifiers=identifiers,
        counts={
            "images_with_burned_in_text": int(header.get("BurnedInAnnotation") == "YES"),
            "images_with_spacing_at_the_detector": int(at_the_detector),
            "images_windowed_by_their_values": int(is_windowed_by_values(header)),
            "images_meant_to_be_subtracted": int(header.get("RecommendedViewingMode") == "SUB"),
        },
    )


def _annotated(
    root: Path, record: Record, annotation: Path, line_width: float | None, left_out: Set[str]
) -> Record:
    real = locate(root, root, str(annotation.relative_to(root)), f"{root}: the annotation")
    content, where = read_json(real), str(annotation)
    shapes = LabelmeShapes.listed(content, real, where, line_width, left_out)
    return replace(
        record,
        annotation=real,
        where=f"{annotation} ({record.where})",
        region_files=(shapes,),
        stated_size=optional_size(content, "imageWidth", "imageHeight", where),
        counts={**record.counts, "holes_before_regions": shapes.holes_before_regions},
    )


def _by_run(annotations: Iterable[Path]) -> dict[Path, list[tuple[int, Path]]]:
    """Path of a run without suffix -> numbers of frames and the LabelMe files of these."""
    runs: dict[Path, list[tuple[int, Path]]] = {}
    for file in annotations:
        run, frame = file.with_suffix(""), 1
        numbered = _NUMBERED.fullmatch(file.stem)
        if numbered and not run.exists() and not file.with_suffix(".dcm").exists():
            run, frame = file.with_name(numbered[1]), int(numbered[2])
        runs.setdefault(run, []).append((frame, file))
    return runs


def _spacing(header: pydicom.Dataset, path: Path) -> tuple[float, float] | None:
    """Millimetres per pixel at the patient if calibrated, else at the detector over the magnification stated."""
    spacing = header.get("PixelSpacing")
    magnification = 1.0
    if spacing is None:
        spacing = header.get("ImagerPixelSpacing")
        magnification = float(header.get("EstimatedRadiographicMagnificationFactor") or 1)
    if not spacing:
        return None
    if not isinstance(spacing, pydicom.multival.MultiValue) or len(spacing) != 2:
        stated = " ".join(f"{spacing!s:.60}".split())
        raise UserError(
            f"{path} states a pixel spacing of {stated} instead of two numbers; correct or remove it."
        )
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
