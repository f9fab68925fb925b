"""A folder of synthetic angiograms as an annotator leaves it: images and LabelMe files named by patient."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from refvessel.demo.anatomy import SIZE
from refvessel.demo.angiogram import angiogram
from refvessel.files import atomic_directory, write_json

PATIENTS = range(11)  # of the demo, two of them for tuning and nine evaluated; never trained on
FRAMES = 4
SEED = 7
_ANNOTATED_SIZE = 800  # of every second file: the annotator worked on enlarged images

# Invented; they are there so that the dataset conversion has something to pseudonymise.
_FAMILY_NAMES = ("MUSTER", "BEISPIEL", "SPECIMEN", "PLACEHOLDER", "NOBODY", "EXAMPLE", "SAMPLE", "FICTA")
_GIVEN_NAMES = ("ANNA", "BRUNO", "CLARA", "DAVID", "ELLA", "FELIX", "GRETA", "HUGO", "IDA", "JONAS", "KLARA")


def write_labelme_folder(
    *, output: Path, patients: Iterable[int] = PATIENTS, frames: int = FRAMES, seed: int = SEED
) -> None:
    """Write NAME.png (512x512, 8-bit grey) and NAME.json (LabelMe) for each patient's frames, all or nothing.

    NAME is `FAMILY_GIVEN_Hnnnnnn_fnn`. Every second LabelMe file states 800x800 pixels and has its
    coordinates in those, though its image has 512x512. Labels are "vessel" (one polygon a branch) and
    "catheter".
    """
    with atomic_directory(output) as folder:
        for number, (patient, frame) in enumerate((p, f) for p in patients for f in range(frames)):
            drawn = angiogram(seed, patient, frame)
            name = f"{patient_name(seed, patient)}_f{frame:02d}"
            Image.fromarray(drawn.image).save(folder / f"{name}.png")
            annotated_size = _ANNOTATED_SIZE if number % 2 else SIZE
            write_json(
                folder / f"{name}.json", labelme_content(f"{name}.png", drawn.polygons, annotated_size)
            )


def labelme_content(image_name: str, polygons: dict[str, list[np.ndarray]], size: int) -> dict[str, Any]:
    """A LabelMe file of outlines in pixels of a drawn image, which states them for a square of `size` pixels."""
    scale = size / SIZE
    shapes = [
        {
            "label": label,
            "points": (polygon * scale).round(3).tolist(),
            "group_id": None,
            "description": "",
            "shape_type": "polygon",
            "flags": {},
        }
        for label, outlines in polygons.items()
        for polygon in outlines
    ]
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": image_name,
        "imageData": None,
        "imageHeight": size,
        "imageWidth": size,
    }


def patient_name(seed: int, patient: int) -> str:
    """An invented name and hospital number, `FAMILY_GIVEN_Hnnnnnn`."""
    family = _FAMILY_NAMES[patient % len(_FAMILY_NAMES)]
    given = _GIVEN_NAMES[patient % len(_GIVEN_NAMES)]
    hospital_number = np.random.default_rng((seed, patient)).integers(100_000, 1_000_000)
    return f"{family}_{given}_H{hospital_number}"
