"""What can be wrong with a data set, in every format where it can be: one sentence each, nothing written."""

import json
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pycocotools import mask as coco
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from refvessel.dataset.tree.layout import IMAGES, INSTANCES, REFS
from refvessel.dataset.tree.loader import ReferringDataset
from refvessel.errors import UserError
from refvessel.privacy.check import check_privacy
from refvessel.settings.inference_section import Inference

OUTLINE = [5, 5, 30, 5, 30, 20, 5, 20]
OUTSIDE = [90, 90, 99, 90, 99, 99]
CROSSING = [5, 5, 30, 20, 30, 5, 5, 20]
NOT_A_NUMBER = [5, 5, 30, 5, float("nan"), 20]


@dataclass(frozen=True)
class Written:
    """A data set of one form: the file of each image and the file that annotates it."""

    image: Callable[[str], Path]
    annotation: Callable[[str], Path]


def pairs(outline: Sequence[float]) -> list[list[float]]:
    return [list(outline[i : i + 2]) for i in range(0, len(outline), 2)]


def write_labelme(source, outlines) -> Written:
    for name, outline in outlines.items():
        source.labelme(f"{name}.png", [("vessel", pairs(outline))])
    return Written(lambda name: source.root / f"{name}.png", lambda name: source.root / f"{name}.json")


def write_sa2va(source, outlines) -> Written:
    entries = [
        {"image": f"{name}.png", "mask": [outline], "text": ["vessel"]} for name, outline in outlines.items()
    ]
    path = source.sa2va(entries)
    return Written(lambda name: source.root / "images" / f"{name}.png", lambda name: path)


def write_masks(source, outlines) -> Written:
    (source.root / "masks").mkdir()
    for name in outlines:
        source.image(f"images/{name}.png")
        Image.fromarray(truth() * 255).save(source.root / "masks" / f"{name}.png")
    return Written(
        lambda name: source.root / "images" / f"{name}.png",
        lambda name: source.root / "masks" / f"{name}.png",
    )


def instances(source, outlines, folder: str) -> dict:
    for name in outlines:
        source.image(f"{folder}/{name}.png")
    return {
        "images": [
            {"id": i, "file_name": f"{name}.png", "width": 40, "height": 30}
            for i, name in enumerate(outlines)
        ],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "segmentation": [outline], "iscrowd": 0}
            for i, outline in enumerate(outlines.values())
        ],
        "categories": [{"id": 1, "name": "vessel"}],
    }


def write_coco(source, outlines) -> Written:
    path = source.root / "annotations.json"
    path.write_text(json.dumps(instances(source, outlines, "images")))
    return Written(lambda name: source.root / "images" / f"{name}.png", lambda name: path)


def write_refcoco(source, outlines) -> Written:
    sentence = {"sent": "vessel"}
    refs = [
        {"ref_id": i, "ann_id": i, "image_id": i, "split": "test", "sentences": [sentence | {"sent_id": i}]}
        for i in range(len(outlines))
    ]
    (source.root / INSTANCES).parent.mkdir(parents=True)
    (source.root / INSTANCES).write_text(json.dumps(instances(source, outlines, str(IMAGES))))
    (source.root / REFS).write_bytes(pickle.dumps(refs, 2))
    return Written(
        lambda name: source.root / IMAGES / f"{name}.png",
        lambda name: source.root / INSTANCES,
    )


def write_dicom(source, outlines) -> Written:
    for number, (name, outline) in enumerate(outlines.items()):
        save_dicom(source.root / f"{name}.dcm", np.asarray(pixels(number)), name)
        shape = {"label": "vessel", "points": pairs(outline), "shape_type": "polygon"}
        (source.root / f"{name}.json").write_text(json.dumps({"imagePath": "", "shapes": [shape]}))
    return Written(lambda name: source.root / f"{name}.dcm", lambda name: source.root / f"{name}.json")


def save_dicom(path: Path, grey: np.ndarray, patient: str) -> None:
    header = pydicom.Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = "1.2.840.10008.5.1.4.1.1.12.1"
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = "1.2.3"
    header.SpecificCharacterSet = "ISO_IR 192"
    header.PatientID = header.PatientName = patient
    header.Rows, header.Columns = grey.shape
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated = header.BitsStored = 8
    header.HighBit, header.PixelRepresentation = 7, 0
    header.PixelData = grey.tobytes() + bytes(grey.size % 2)
    header.save_as(path, enforce_file_format=True)


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (30, 40), np.uint8)


def truth() -> np.ndarray:
    return coco.decode(coco.frPyObjects([OUTLINE], 30, 40))[..., 0]


FORMATS: dict[str, Callable[..., Written]] = {
    "labelme": write_labelme,
    "sa2va": write_sa2va,
    "masks": write_masks,
    "coco": write_coco,
    "refcoco": write_refcoco,
    "dicom": write_dicom,
}
OUTLINED = [name for name in FORMATS if name != "masks"]
GOOD, BAD = "p1_1", "p2_1"


def write(source, source_format: str, names: Sequence[str] = (GOOD, BAD), **outlines) -> Written:
    """Images with the outline OUTLINE, or the one given for the name."""
    return FORMATS[source_format](source, {name: outlines.get(name, OUTLINE) for name in names})


def refused(convert, tmp_path: Path, source_format: str, reason: str, **arguments) -> str:
    """The one sentence that a conversion ends with, having written nothing."""
    with pytest.raises(UserError, match=reason) as caught:
        convert(source_format, **arguments)
    told = str(caught.value)
    assert "\n" not in told
    assert told.endswith(".")
    assert {path.name for path in tmp_path.iterdir()} <= {"source", "key", "outside"}
    return told


def remove(path: Path, tmp_path: Path) -> None:
    path.unlink()


def truncate(path: Path, tmp_path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def empty(path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"")


def lie(path: Path, tmp_path: Path) -> None:
    path.write_text("no image at all")


def shrink(path: Path, tmp_path: Path) -> None:
    if path.suffix == ".dcm":
        save_dicom(path, np.full((1, 1), 7, np.uint8), "p2")
    else:
        Image.new("L", (1, 1), 7).save(path)


def link_out(path: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    path.rename(outside / path.name)
    path.symlink_to(outside / path.name)


IMAGE_FAULTS = {
    "missing": (remove, "does not exist|no image matches this mask|no DICOM file or frame of this name"),
    "truncated": (truncate, "does not open as|cannot be decoded"),
    "zero bytes": (empty, "does not open as"),
    "no image": (lie, "does not open as"),
    "one pixel": (shrink, "is 1 x 1 pixels, too small to show a vessel; replace the file"),
    "a symlink out of the root": (link_out, "leads out of"),
}


@pytest.mark.parametrize("fault", IMAGE_FAULTS)
@pytest.mark.parametrize("source_format", FORMATS)
def test_a_bad_image_is_one_sentence_with_its_file(source, convert, tmp_path, source_format, fault):
    spoil, reason = IMAGE_FAULTS[fault]
    spoil(write(source, source_format).image(BAD), tmp_path)
    assert BAD in refused(convert, tmp_path, source_format, reason)


OUTLINE_FAULTS = {
    "outside the image": (OUTSIDE, "lies outside the image of 40 x 30 pixels"),
    "crossing itself": (CROSSING, "crosses itself; redraw it, or set crossing_outlines to draw"),
    "not a number": (NOT_A_NUMBER, "has a coordinate that is not a finite number; redraw or remove it"),
}


@pytest.mark.parametrize("fault", OUTLINE_FAULTS)
@pytest.mark.parametrize("source_format", OUTLINED)
def test_a_bad_outline_is_one_sentence_with_its_file(source, convert, tmp_path, source_format, fault):
    outline, reason = OUTLINE_FAULTS[fault]
    written = write(source, source_format, **{BAD: outline})
    told = refused(convert, tmp_path, source_format, reason)
    place = REFS if source_format == "refcoco" else written.annotation(BAD).relative_to(source.root)
    assert str(source.root / place) in told
    assert "ref 1" in told or BAD in told


@pytest.mark.parametrize("source_format", FORMATS)
def test_an_unknown_label_is_one_sentence_with_its_file(source, convert, tmp_path, source_format):
    write(source, source_format)
    told = refused(
        convert, tmp_path, source_format, "'vessel' .* has no phrase; add it", phrases={"bone": "bone"}
    )
    assert str(source.root) in told


@pytest.mark.parametrize("source_format", ["coco", "refcoco"])
def test_an_annotation_of_an_image_that_is_not_listed_is_told(source, convert, tmp_path, source_format):
    """In the other formats an annotation names its image, whose absence is the fault `missing` above."""
    path = write(source, source_format).annotation(BAD)
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"images": content["images"][:1]}))
    told = refused(convert, tmp_path, source_format, "is of image 1, which is not listed|has no image 1")
    assert str(path.name) in told


@pytest.mark.parametrize("source_format", FORMATS)
def test_annotations_may_not_be_links_out_of_the_root(source, convert, tmp_path, source_format):
    path = write(source, source_format).annotation(BAD)
    link_out(path, tmp_path)
    assert path.name in refused(convert, tmp_path, source_format, "leads out of")


@pytest.mark.parametrize("source_format", FORMATS)
def test_a_folder_that_is_a_link_out_of_the_root_is_told(source, convert, tmp_path, source_format):
    write(source, source_format)
    (tmp_path / "outside").mkdir()
    (source.root / "ward 7").symlink_to(tmp_path / "outside")
    assert "ward 7" in refused(convert, tmp_path, source_format, "leads out of")


@pytest.mark.parametrize("source_format", FORMATS)
def test_names_that_differ_by_case_only_are_refused(source, convert, tmp_path, source_format):
    write(source, source_format, [GOOD, GOOD.upper()])
    told = refused(convert, tmp_path, source_format, "differ by case only; rename one")
    assert GOOD in told
    assert GOOD.upper() in told


@pytest.mark.parametrize("pseudonymise", [True, False])
@pytest.mark.parametrize("source_format", FORMATS)
@pytest.mark.parametrize("name", ["Müller Änne [1] (2)_1", "张伟 #1_1", "a%20b {x}'s_1"])
def test_names_may_hold_spaces_brackets_and_unicode(
    source, convert, tmp_path, source_format, name, pseudonymise
):
    """Up to what the loader hands to a model, and to the search for the name in what is published."""
    written = write(source, source_format, [name])
    convert(source_format, pseudonymise=pseudonymise)
    (item,) = ReferringDataset(tmp_path / "tree", "test", Inference().question)
    assert np.array_equal(item["gt_masks"], [truth()])
    if source_format == "dicom":
        assert np.array_equal(np.asarray(item["image"])[..., 0], pixels(0))
    else:
        assert np.array_equal(item["image"], Image.open(written.image(name)).convert("RGB"))
    if pseudonymise:
        (table,) = (tmp_path / "key" / "names").glob("tree-*.csv")
        check_privacy(tmp_path / "tree", [table])
        (tmp_path / "report").mkdir()
        (tmp_path / "report" / f"{name}.txt").write_text("")
        with pytest.raises(UserError, match="names the"):
            check_privacy(tmp_path / "report", [table])


@pytest.mark.parametrize("source_format", FORMATS)
def test_all_problems_of_a_run_are_told_together_up_to_twenty(source, convert, tmp_path, source_format):
    names = [f"p{number:02d}_1" for number in range(25)]
    written = write(source, source_format, names)
    for name in names[1:]:
        empty(written.image(name), tmp_path)
    with pytest.raises(UserError) as caught:
        convert(source_format)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("At least 2")
    assert [name in line for name, line in zip(names[1:21], lines[1:21], strict=True)] == [True] * 20
    assert len(lines) <= 22
    assert not (tmp_path / "tree").exists()


@pytest.mark.parametrize("source_format", OUTLINED)
def test_problems_of_several_kinds_are_told_together(source, convert, tmp_path, source_format):
    names = ["p1_1", "p2_1", "p3_1", "p4_1"]
    written = write(source, source_format, names, p2_1=CROSSING, p3_1=NOT_A_NUMBER)
    remove(written.image("p1_1"), tmp_path)
    with pytest.raises(UserError) as caught:
        convert(source_format)
    told = str(caught.value)
    assert told.startswith("3 problems were found and nothing was written:")
    missing = "no DICOM file or frame" if source_format == "dicom" else "does not exist"
    for reason in (missing, "crosses", "finite"):
        assert reason in told
    assert not (tmp_path / "tree").exists()


def test_all_problems_of_one_image_are_told(source, convert):
    source.labelme("p1_1.png", [("vessel", pairs(OUTSIDE)), ("vessel", pairs(CROSSING))])
    with pytest.raises(UserError, match=r"(?s)shape 1 lies outside.*shape 2 has an outline that crosses"):
        convert()


@pytest.mark.parametrize("source_format", OUTLINED)
def test_outlines_that_cross_themselves_are_drawn_where_one_says_so(source, convert, tmp_path, source_format):
    write(source, source_format, [GOOD], **{GOOD: CROSSING})
    summary = convert(source_format, crossing_outlines="draw")
    assert summary["counts"]["regions_crossing_themselves"] == 1
    assert "crosses itself" in summary["warnings"][0]
    (item,) = ReferringDataset(tmp_path / "tree", "test", Inference().question)
    assert np.array_equal(item["gt_masks"][0], coco.decode(coco.frPyObjects([CROSSING], 30, 40))[..., 0])
