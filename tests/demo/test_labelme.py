import json
import re

import numpy as np
import pytest
from PIL import Image

from refvessel.demo.angiogram import angiogram
from refvessel.demo.annotations import FRAMES, PATIENTS, write_labelme_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    output = tmp_path_factory.mktemp("demo") / "labelme"
    write_labelme_folder(output=output, patients=[2, 3], frames=2, seed=7)
    return output


def test_each_image_has_its_annotation_of_the_same_name(folder):
    images = sorted(path.stem for path in folder.glob("*.png"))
    assert images == sorted(path.stem for path in folder.glob("*.json"))
    assert len(images) == 4


def test_file_names_carry_patient_hospital_number_and_frame(folder):
    names = [
        re.fullmatch(r"([A-Z]+_[A-Z]+_H\d{6})_f(\d\d)", path.stem).groups() for path in folder.glob("*.png")
    ]
    assert len({patient for patient, _ in names}) == 2
    assert {frame for _, frame in names} == {"00", "01"}


def test_half_of_the_files_are_measured_at_another_size_than_their_image(folder):
    sizes = []
    for path in folder.glob("*.json"):
        annotation = json.loads(path.read_text("utf-8"))
        assert annotation["imageWidth"] == annotation["imageHeight"]
        sizes.append(annotation["imageWidth"])
        with Image.open(folder / annotation["imagePath"]) as image:
            assert (image.size, image.mode) == ((512, 512), "L")
    assert sorted(sizes) == [512, 512, 800, 800]


def test_scaled_back_the_points_are_the_generators(folder):
    (path,) = folder.glob("SPECIMEN*_f01.json")
    annotation = json.loads(path.read_text("utf-8"))
    drawn = angiogram(7, 2, 1)
    expected = [(label, outline) for label, outlines in drawn.polygons.items() for outline in outlines]
    assert [shape["label"] for shape in annotation["shapes"]] == [label for label, _ in expected]
    for shape, (_, outline) in zip(annotation["shapes"], expected, strict=True):
        assert shape["shape_type"] == "polygon"
        scaled = np.array(shape["points"]) * 512 / annotation["imageWidth"]
        np.testing.assert_allclose(scaled, outline, atol=1e-3)


def test_the_demo_has_at_least_eight_patients_of_several_frames():
    assert len(PATIENTS) >= 8
    assert FRAMES >= 2
