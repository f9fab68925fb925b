"""Synthetic cine runs as their owners have them: LabelMe files, masks, DICOM, or the official Ref-VOS layout."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydicom
from PIL import Image
from pycocotools import mask as coco
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from refvessel import rle
from refvessel.demo.anatomy import SIZE
from refvessel.demo.annotations import SEED, labelme_content, patient_name
from refvessel.demo.cine import cine_run
from refvessel.files import atomic_directory, write_json

DEMO_PATIENTS = (20, 21)  # whose runs the demo evaluates; never trained on
_DEMO_FRAMES, _DEMO_SIZE = 8, 256
_XA_STORAGE = "1.2.840.10008.5.1.4.1.1.12.1"


class CineFile(NamedTuple):
    """A frame of a run, as it is written.

    `image` is uint8 (size, size); `outlines` maps labels to polygons in its pixels.
    """

    image: np.ndarray
    outlines: dict[str, list[np.ndarray]]

    def truth(self, label: str) -> rle.RLE:
        """The union of a label's outlines, by COCO's rasteriser."""
        size, outlines = len(self.image), self.outlines[label]
        if not outlines:
            return rle.empty(size, size)
        return rle.union(coco.frPyObjects([each.ravel().tolist() for each in outlines], size, size))


class CineRun(NamedTuple):
    """A run of a patient, whose name is invented."""

    patient: str
    number: int
    frames: list[CineFile]

    @property
    def name(self) -> str:
        """`FAMILY_GIVEN_Hnnnnnn_rn`"""
        return f"{self.patient}_r{self.number}"


def write_cine_runs(
    *,
    output: Path,
    form: str = "labelme",
    patients: Iterable[int],
    frames: int,
    runs: int = 1,
    size: int = SIZE,
    annotated_every: int = 1,
    seed: int = SEED,
) -> None:
    """Write runs of synthetic patients, all or nothing.

    Args:
        output: folder to write; replaced if it exists.
        form: labelme (NAME_fnn.png and .json), masks (images/NAME_fnn.png, masks/LABEL/NAME_fnn.png), dicom
            (NAME.dcm of all frames, NAME_n.json of frame n) or refvos (meta_expressions.json, mask_dict.json,
            JPEGImages/).
        patients: their numbers.
        frames: of each run.
        runs: of each patient.
        size: of a frame, in pixels.
        annotated_every: of the frames, each that often is annotated, beginning with the first.
        seed: of the patients.
    """
    with atomic_directory(output) as folder:
        FORMS[form](folder, _runs(patients, runs, frames, size, seed), annotated_every)


def write_demo_films(*, output: Path) -> None:
    """Write the runs that the demo evaluates, as LabelMe files."""
    write_cine_runs(output=output, patients=DEMO_PATIENTS, frames=_DEMO_FRAMES, size=_DEMO_SIZE)


def _runs(patients: Iterable[int], runs: int, frames: int, size: int, seed: int) -> Iterator[CineRun]:
    for patient in patients:
        for run in range(1, runs + 1):
            drawn = [frame.angiogram for frame in cine_run(seed, patient, run, frames)]
            scaled = [
                CineFile(
                    np.asarray(Image.fromarray(each.image).resize((size, size), Image.Resampling.BOX)),
                    {
                        label: [outline * (size / SIZE) for outline in outlines]
                        for label, outlines in each.polygons.items()
                    },
                )
                for each in drawn
            ]
            yield CineRun(patient_name(seed, patient), run, scaled)


def _write_labelme(folder: Path, runs: Iterator[CineRun], every: int) -> None:
    for run in runs:
        for number, frame in enumerate(run.frames):
            name = f"{run.name}_f{number:02d}"
            Image.fromarray(frame.image).save(folder / f"{name}.png")
            if number % every == 0:
                write_json(folder / f"{name}.json", _labelme(f"{name}.png", frame))


def _labelme(image_name: str, frame: CineFile) -> dict[str, object]:
    size = len(frame.image)
    drawn = {
        label: [outline * (SIZE / size) for outline in outlines] for label, outlines in frame.outlines.items()
    }
    return labelme_content(image_name, drawn, size)


def _write_masks(folder: Path, runs: Iterator[CineRun], every: int) -> None:
    (folder / "images").mkdir()
    for run in runs:
        for number, frame in enumerate(run.frames):
            name = f"{run.name}_f{number:02d}.png"
            Image.fromarray(frame.image).save(folder / "images" / name)
            for label in frame.outlines if number % every == 0 else ():
                (folder / "masks" / label).mkdir(parents=True, exist_ok=True)
                Image.fromarray(255 * rle.decode(frame.truth(label))).save(folder / "masks" / label / name)


def _write_dicom(folder: Path, runs: Iterator[CineRun], every: int) -> None:
    for run in runs:
        _xa_run(run).save_as(folder / f"{run.name}.dcm", enforce_file_format=True)
        for number, frame in enumerate(run.frames, start=1):
            if (number - 1) % every == 0:
                write_json(folder / f"{run.name}_{number}.json", _labelme(f"{run.name}.dcm", frame))


def _xa_run(run: CineRun) -> pydicom.Dataset:
    """An X-ray angiographic run, 8-bit grey, not compressed."""
    pixels = np.stack([frame.image for frame in run.frames])
    family, given, number = run.patient.split("_")
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = _XA_STORAGE
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=[run.name])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[run.name, "series"])
    dataset.Modality = "XA"
    dataset.PatientName, dataset.PatientID = f"{family}^{given}", number
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelRepresentation = 0
    dataset.PixelData = pixels.tobytes()
    return dataset


def _write_refvos(folder: Path, runs: Iterator[CineRun], every: int) -> None:
    videos, masks = {}, {}
    for run in runs:
        names = [f"{number:05d}" for number in range(len(run.frames))]
        (folder / "JPEGImages" / run.name).mkdir(parents=True)
        for name, frame in zip(names, run.frames, strict=True):
            Image.fromarray(frame.image).save(folder / "JPEGImages" / run.name / f"{name}.png")
        expressions = {}
        for number, label in enumerate(run.frames[0].outlines):
            expressions[str(number)] = {"exp": label, "anno_id": [len(masks)]}
            masks[str(len(masks))] = [
                frame.truth(label) if frame.outlines[label] and index % every == 0 else None
                for index, frame in enumerate(run.frames)
            ]
        size = len(run.frames[0].image)
        videos[run.name] = {"frames": names, "height": size, "width": size, "expressions": expressions}
    for file, content in (("meta_expressions.json", {"videos": videos}), ("mask_dict.json", masks)):
        (folder / file).write_text(json.dumps(content), "utf-8")


FORMS: dict[str, Callable[[Path, Iterator[CineRun], int], None]] = {
    "labelme": _write_labelme,
    "masks": _write_masks,
    "dicom": _write_dicom,
    "refvos": _write_refvos,
}
