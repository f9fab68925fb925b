"""Runs of frames for tests of the report: their cases, and their tree in the Ref-VOS layout."""

import numpy as np
from PIL import Image

from refvessel.dataset.tree.ref_vos import TreeFrame
from refvessel.dataset.tree.ref_vos_writing import frame_file, ref_vos_writer
from refvessel.dataset.tree.run_folders import folder_of_split


def run_of(vessel, patient, shake, frames):
    """A run of `frames` frames whose vessel moves down, predicted too low by `shake` on every other frame."""
    return [
        {
            "truth": vessel(shift=frame - 4),
            "prediction": vessel(shift=frame - 4 + shake * (frame % 2)),
            "image_id": f"{patient}f{frame}",
            "phrase": "blood vessel",
            "patient": patient,
        }
        for frame in range(frames)
    ]


def write_layout(tree, cases):
    """The runs of the cases' patients in the Ref-VOS layout."""
    numbered = list(enumerate(cases, start=1))
    folder = folder_of_split(tree, "test")
    folder.mkdir(parents=True)
    with ref_vos_writer(folder) as writer:
        for patient in dict.fromkeys(case["patient"] for case in cases):
            run = [(number, case) for number, case in numbered if case["patient"] == patient]
            for index, (_, case) in enumerate(run):
                path = frame_file(tree, "test", patient, index, ".png")
                path.parent.mkdir(parents=True, exist_ok=True)
                shade = (90 + 60 * case["truth"]).astype(np.uint8)
                Image.fromarray(shade).save(path)
            places = {
                index: TreeFrame(case["image_id"], number, number) for index, (number, case) in enumerate(run)
            }
            writer.add(
                patient,
                frames=len(run),
                size=case["truth"].shape[::-1],
                truths={"blood vessel": [None] * len(run)},
                places={"blood vessel": places},
            )
