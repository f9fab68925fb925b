"""`phrases: {catheter: null}` leaves a label out, in every format, whatever its shapes are like."""

import json
from collections.abc import Callable

import numpy as np
import pydicom
import pytest
import yaml
from PIL import Image
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from typer.testing import CliRunner

from refvessel import rle
from refvessel.cli import app
from refvessel.dataset.readers import FORMATS
from refvessel.dataset.tree.expressions import read_expressions
from refvessel.errors import UserError
from refvessel.settings.checked import checked_config

pytestmark = pytest.mark.usefixtures("converted_here")

TRIANGLE = [[2, 2], [20, 4], [8, 25]]
PHRASES = {"vessel": "blood vessel", "catheter": None}
# What no truth can be made of.
SPOILT = {"label": "catheter", "points": [[3, 4]], "shape_type": "point"}


def labelme(source, convert):
    source.labelme("p1_1.png")
    shapes = [{"label": "vessel", "points": TRIANGLE}, SPOILT]
    source.labelme("p1_1.png", image=False, shapes=shapes)


def dicom(source, convert):
    header = pydicom.Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = "1.2.840.10008.5.1.4.1.1.12.1"
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = generate_uid(entropy_srcs=["1"])
    header.PatientID, header.PhotometricInterpretation = "p1", "MONOCHROME2"
    header.Rows, header.Columns, header.SamplesPerPixel = 30, 40, 1
    header.BitsAllocated = header.BitsStored = 8
    header.HighBit, header.PixelRepresentation = 7, 0
    header.PixelData = np.random.default_rng(1).integers(0, 256, (30, 40), np.uint8).tobytes()
    header.save_as(source.root / "run.dcm", enforce_file_format=True)
    shapes = [{"label": "vessel", "points": TRIANGLE}, SPOILT]
    content = {"imagePath": "run.png", "imageWidth": 40, "imageHeight": 30, "shapes": shapes}
    (source.root / "run.json").write_text(json.dumps(content))


def sa2va(source, convert):
    source.sa2va([{"image": "p1_1.png", "mask": [TRIANGLE, [[3, 4]]], "text": ["vessel", "catheter"]}])


def coco(source, convert):
    source.image("images/p1_1.png")
    categories = [{"id": 1, "name": "vessel"}, {"id": 2, "name": "catheter"}]
    flat = np.ravel(TRIANGLE).tolist()
    annotations = [
        {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [flat]},
        {"id": 2, "image_id": 1, "category_id": 2, "segmentation": [], "bbox": [1, 2, 3, 4]},
    ]
    images = [{"id": 1, "file_name": "p1_1.png", "width": 40, "height": 30}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (source.root / "annotations.json").write_text(json.dumps(content))


def masks_by_name(source, convert):
    source.image("images/p1_1.png")
    (source.root / "masks").mkdir()
    mask = np.zeros((30, 40), np.uint8)
    mask[4:9, 3:30] = 255
    Image.fromarray(mask).save(source.root / "masks/p1_1_vessel.png")
    (source.root / "masks/p1_1_catheter.png").write_text("no image")
    return {"options": {"masks": "masks/{name}_{label:[a-z]+}.png"}}


def masks_by_value(source, convert):
    source.image("images/p1_1.png")
    (source.root / "masks").mkdir()
    mask = np.zeros((30, 40), np.uint8)
    mask[4:9, 3:30], mask[20, 20] = 1, 2
    Image.fromarray(mask).save(source.root / "masks/p1_1.png")
    return {"options": {"labels": {1: "vessel", 2: "catheter"}}}


def refcoco(source, convert):
    source.labelme("p1_1.png", [("vessel", TRIANGLE), ("catheter", TRIANGLE)])
    convert(output=source.root.parent / "first", pseudonymise=False)
    source.root = source.root.parent / "first"


def refvos(source, convert):
    source.image("JPEGImages/p1_1/00000.png")
    mask = np.zeros((30, 40), np.uint8)
    mask[4:9, 3:30] = 1
    asked = {"0": {"exp": "vessel", "anno_id": [0]}, "1": {"exp": "catheter", "anno_id": [1]}}
    videos = {"p1_1": {"frames": ["00000"], "expressions": asked}}
    (source.root / "meta_expressions.json").write_text(json.dumps({"videos": videos}))
    (source.root / "mask_dict.json").write_text(
        json.dumps({"0": [rle.encode(mask)], "1": [rle.encode(1 - mask)]})
    )


MADE: dict[str, Callable] = {
    each.__name__: each
    for each in (coco, dicom, labelme, masks_by_name, masks_by_value, refcoco, refvos, sa2va)
}


def test_every_format_is_tried():
    assert {name.partition("_")[0] for name in MADE} == set(FORMATS) - {"images"}  # which has no labels


@pytest.mark.parametrize("include_empty", [False, True])
@pytest.mark.parametrize("kind", MADE)
def test_a_label_is_left_out_and_counted(source, convert, tmp_path, kind, include_empty):
    arguments = MADE[kind](source, convert) or {}
    source_format = kind.partition("_")[0]
    summary = convert(source_format, phrases=PHRASES, include_empty=include_empty, **arguments)
    (expression,) = read_expressions(tmp_path / "tree", "test")
    assert expression.phrase == "blood vessel"
    assert rle.area(expression.truth) > 0
    assert (summary["counts"]["regions"], summary["counts"]["regions_left_out"]) == (1, 1)
    assert summary["phrases"] == {"blood vessel": 1}
    assert "catheter" not in json.dumps(summary)


@pytest.mark.parametrize("kind", sorted(MADE.keys() - {"masks_by_value"}))
def test_what_is_asked_for_is_read_whatever_it_is_like(source, convert, tmp_path, kind):
    """The same data with a phrase for the label: nothing is left out by itself."""
    arguments = MADE[kind](source, convert) or {}
    phrases = {"vessel": "blood vessel", "catheter": "catheter"}
    if kind in ("refcoco", "refvos"):  # which hold masks alone
        assert convert(kind, phrases=phrases)["counts"]["regions"] == 2
        return
    with pytest.raises(UserError):
        convert(kind.partition("_")[0], phrases=phrases, **arguments)


def test_an_image_that_shows_nothing_else_is_one_without_a_region(source, convert):
    source.labelme("p1_1.png")
    source.labelme("p1_2.png", [("catheter", TRIANGLE)])
    summary = convert(phrases=PHRASES, pseudonymise=False)
    assert summary["dropped"] == {"p1_2": "no region"}
    assert convert(phrases=PHRASES, include_empty=True)["counts"]["expressions_empty"] == 1


def test_all_labels_left_out_and_labels_that_are_no_text_are_told(source, convert):
    source.labelme("p1_1.png")
    with pytest.raises(UserError, match=r"^phrases leaves every label out; give a phrase to one"):
        convert(phrases={"vessel": None})
    with pytest.raises(UserError, match=r"^phrases: the label 1 is not text; write it in quotes"):
        convert(phrases={1: "vessel"})


def test_a_label_without_a_phrase_is_told_with_both_remedies(source, convert):
    source.labelme("p1_1.png", [("vessel", TRIANGLE), ("stent", TRIANGLE)])
    with pytest.raises(
        UserError, match=r"'stent' \(on 1 images\) has no phrase; add it to phrases, with null to"
    ):
        convert(phrases={"vessel": "blood vessel"})


def test_a_phrase_of_which_no_annotation_has_a_label_is_a_warning(source, convert, capsys):
    source.labelme("p1_1.png")
    phrases = {"vessel": "blood vessel", "Vessel": "blood vessel", "cathetr": "catheter", "stent": None}
    told = convert(phrases=phrases, patient_pattern="(?P<patient>.+)_")["warnings"]
    assert told == ["No annotation has a label of the phrase 'catheter'."]
    assert "Warning: No annotation has a label of the phrase 'catheter'." in capsys.readouterr().err


def test_the_command_takes_null(source, tmp_path, monkeypatch):
    labelme(source, None)
    monkeypatch.chdir(tmp_path)
    arguments = ["convert-dataset", "--format", "labelme", "--root", str(source.root), "--output", "tree"]
    arguments += ["--single-split", "test", "--phrase", "vessel=blood vessel", "--phrase", "catheter=null"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert [each.phrase for each in read_expressions(tmp_path / "tree", "test")] == ["blood vessel"]


def test_the_configuration_takes_null():
    config = {
        "models": {"any": {"folder": "model"}},
        "datasets": {"d": {"format": "labelme", "root": "data", "phrases": PHRASES, "single_split": "test"}},
        "evaluations": [{"model": "any", "dataset": "d", "split": "test"}],
    }
    complete = checked_config(yaml.safe_load(yaml.safe_dump(config)))
    assert complete.datasets["d"].phrases == PHRASES
