import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, JPEGLosslessSV1, generate_uid

from refvessel.dataset.tree.expressions import read_expressions
from refvessel.dataset.tree.layout import IMAGES
from refvessel.errors import UserError

TRIANGLE = [[2, 2], [20, 4], [8, 25]]
XA = "1.2.840.10008.5.1.4.1.1.12.1"
EIGHT_BIT = np.random.default_rng(4).integers(0, 256, (3, 30, 40), np.uint8)


def dicom(path: Path, pixels: np.ndarray, *, frames: bool | None = None, **tags: Any) -> Path:
    """A file of (rows, columns), (frames, rows, columns) or, with `frames` false, (rows, columns, 3) pixels."""
    colour = pixels.ndim == 3 and frames is False
    header = pydicom.Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = XA
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = generate_uid(
        entropy_srcs=[path.name]
    )
    header.Modality = "XA"
    header.PatientID, header.PatientName = "0815", "ZHANG^WEI"
    if pixels.ndim == 3 and not colour:
        header.NumberOfFrames = len(pixels)
    header.Rows, header.Columns = pixels.shape[:2] if colour else pixels.shape[-2:]
    header.SamplesPerPixel = 3 if colour else 1
    if colour:
        header.PlanarConfiguration = 0
    header.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    header.BitsAllocated = header.BitsStored = pixels.dtype.itemsize * 8
    header.HighBit, header.PixelRepresentation = header.BitsStored - 1, 0
    for keyword, value in tags.items():
        setattr(header, keyword, value)
        if keyword == "BitsStored":
            header.HighBit = value - 1
    header.PixelData = pixels.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    header.save_as(path, enforce_file_format=True)
    return path


def annotate(path: Path, **fields: Any) -> None:
    shape = {"label": "vessel", "points": TRIANGLE, "shape_type": "polygon"}
    content = {"imagePath": "export.png", "imageWidth": 40, "imageHeight": 30, "shapes": [shape]}
    path.write_text(json.dumps(content | fields))


def pixels_of(record) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(record.load(record.path))))


def test_frames_of_a_run_are_images(source, read):
    run = dicom(source.root / "run.dcm", EIGHT_BIT, ImagerPixelSpacing=[0.3, 0.25])
    annotate(source.root / "run_0002.json")
    first, second, third = read("dicom")
    assert [record.frame for record in (first, second, third)] == [1, 2, 3]
    assert [record.annotation is None for record in (first, second, third)] == [True, False, True]
    assert (second.patient, second.spacing, second.name) == ("0815", (0.3, 0.25), "run/0002.dcm")
    assert np.array_equal(pixels_of(second), EIGHT_BIT[1])
    assert {"0815", "ZHANG^WEI"} < set(second.identifiers)
    assert run.exists()


def test_a_single_frame_is_an_image_whatever_the_file_is_called(source, read):
    path = dicom(source.root / "1.2.840.99", EIGHT_BIT[0])
    annotate(source.root / "1.2.840.99.json")
    (record,) = read("dicom")
    assert (record.name, record.path) == ("1.2.840.99.dcm", path.resolve())


def test_a_run_converts_with_spacing_and_without_a_word_of_its_tags(source, convert, tmp_path):
    dicom(source.root / "run.dcm", EIGHT_BIT, PixelSpacing=[0.2, 0.2])
    annotate(source.root / "run_1.json")
    annotate(source.root / "run_3.json")
    summary = convert("dicom")
    expressions = read_expressions(tmp_path / "tree", "test")
    assert [expression.spacing for expression in expressions] == [(0.2, 0.2)] * 2
    assert summary["counts"]["images_not_annotated"] == 1
    for file in (path for path in (tmp_path / "tree").rglob("*") if path.is_file()):
        assert b"ZHANG" not in file.read_bytes()
    images = sorted((tmp_path / "tree" / IMAGES).iterdir())
    frames = {image["frame"]: name for name, image in summary["images"].items()}
    assert len(images) == 2
    for number, index in ((1, 0), (2, 2)):
        path = tmp_path / "tree" / IMAGES / f"{frames[number]}.png"
        assert np.array_equal(np.asarray(Image.open(path)), EIGHT_BIT[index])


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"BitsStored": 12}, lambda x: x / 4095 * 255),
        ({"BitsStored": 12, "PhotometricInterpretation": "MONOCHROME1"}, lambda x: 255 - x / 4095 * 255),
        # PS3.3 C.11.2.1.2: ((x - (c - 0.5)) / (w - 1) + 0.5) * range
        (
            {"BitsStored": 12, "WindowCenter": 1000, "WindowWidth": 801},
            lambda x: np.clip(((x - 999.5) / 800 + 0.5) * 255, 0, 255),
        ),
        (
            {"BitsStored": 12, "WindowCenter": ["1000", "5"], "WindowWidth": ["801", "9"]},
            lambda x: np.clip(((x - 999.5) / 800 + 0.5) * 255, 0, 255),
        ),
        (
            {
                "BitsStored": 12,
                "RescaleSlope": 2,
                "RescaleIntercept": -100,
                "WindowCenter": 1900,
                "WindowWidth": 1601,
            },
            lambda x: np.clip(((2 * x - 100 - 1899.5) / 1600 + 0.5) * 255, 0, 255),
        ),
    ],
    ids=["stored range", "inverted", "window", "first of two windows", "rescaled"],
)
def test_grey_is_shown_as_the_file_says(source, read, tags, expected):
    stored = np.random.default_rng(5).integers(0, 4096, (30, 40), np.uint16)
    stored[0, :2] = 0, 4095
    dicom(source.root / "a.dcm", stored, **tags)
    (record,) = read("dicom")
    assert np.abs(pixels_of(record) - expected(stored.astype(float))).max() <= 0.51


@pytest.mark.parametrize(
    "tags",
    [{"WindowCenter": None, "WindowWidth": None}, {"WindowCenter": 9}, {"VOILUTSequence": []}],
    ids=["empty window", "half a window", "empty table"],
)
def test_a_window_that_says_nothing_is_none(source, read, tags):
    dicom(source.root / "a.dcm", EIGHT_BIT[0], **tags)
    (record,) = read("dicom")
    assert np.array_equal(pixels_of(record), EIGHT_BIT[0])


def test_colour_stays(source, read):
    colour = np.random.default_rng(6).integers(0, 256, (30, 40, 3), np.uint8)
    dicom(source.root / "a.dcm", colour, frames=False)
    (record,) = read("dicom")
    assert np.array_equal(pixels_of(record), colour)


def test_lossless_jpeg_as_angiography_rooms_store_it_is_decoded(source, read):
    gdcm = pytest.importorskip("gdcm")
    path = str(dicom(source.root / "a.dcm", EIGHT_BIT[0]))
    reader = gdcm.ImageReader()
    reader.SetFileName(path)
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(path)
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == JPEGLosslessSV1
    (record,) = read("dicom")
    assert np.array_equal(pixels_of(record), EIGHT_BIT[0])


def test_what_is_burnt_in_is_counted_and_told(source, convert):
    dicom(source.root / "a.dcm", EIGHT_BIT[0], BurnedInAnnotation="YES")
    annotate(source.root / "a.json")
    summary = convert("dicom")
    assert summary["counts"]["images_with_burned_in_text"] == 1
    assert summary["warnings"][0].startswith("1 images have text burnt into their pixels")


def _spoilers():
    def truncate(root):
        path = root / "a.dcm"
        path.write_bytes(path.read_bytes()[:-600])

    def replace(**tags):
        return lambda root: dicom(root / "a.dcm", EIGHT_BIT[0], **tags)

    yield "truncated", truncate, r"a\.dcm frame 1 cannot be decoded"
    yield "no image", lambda root: annotate(root / "b.json"), r"b\.json: no DICOM file or frame of this name"
    yield "no frame", lambda root: annotate(root / "a_7.json"), r"a_7\.json: a\.dcm has 1 frames, not 7"
    yield "twice", lambda root: annotate(root / "a_01.json"), r"a.*json and .*a.*json both annotate frame 1"
    yield "no patient", replace(PatientID=""), "the patient is not named; give patient_pattern or patients"
    yield "spacing", replace(PixelSpacing=[0, 0.2]), "pixel spacing of 0 x 0.2 mm"
    yield "one spacing", replace(ImagerPixelSpacing=[0.2]), "pixel spacing of 0.2 instead of two numbers"
    yield (
        "window of no width",
        replace(WindowCenter=9, WindowWidth=0),
        r"a\.dcm frame 1 cannot be decoded \(.*Width",
    )
    yield "no pixels", replace(Rows=0), r"a\.dcm frame 1 cannot be decoded \(.*Rows"
    yield "size", lambda root: annotate(root / "a.json", imageWidth=30, imageHeight=40), "swapped"
    yield (
        "too few frames described",
        replace(PerFrameFunctionalGroupsSequence=[pydicom.Dataset()], NumberOfFrames=3),
        "describes 1 frames and states more",
    )


def test_an_enhanced_run_says_of_each_frame_its_window_and_spacing(source, read):
    stored = np.random.default_rng(7).integers(0, 4096, (3, 30, 40), np.uint16)
    centres, spacings = [1000, 2000, 3000], [(0.2, 0.2), (0.3, 0.25), (0.3, 0.25)]

    def group(keyword: str, **tags: Any) -> pydicom.Dataset:
        groups, item = pydicom.Dataset(), pydicom.Dataset()
        for name, value in tags.items():
            setattr(item, name, value)
        setattr(groups, keyword, [item])
        return groups

    def frame(centre: int, spacing: tuple[float, float]) -> pydicom.Dataset:
        groups = group("FrameVOILUTSequence", WindowCenter=centre, WindowWidth=801)
        if spacing != (0.3, 0.25):
            groups.update(group("PixelMeasuresSequence", PixelSpacing=list(spacing)))
        groups.update(group("FrameContentSequence", FrameAcquisitionDateTime="20190304081500"))
        return groups

    shared = group("PixelMeasuresSequence", PixelSpacing=[0.3, 0.25])
    shared.update(group("PixelValueTransformationSequence", RescaleSlope=2, RescaleIntercept=-100))
    dicom(
        source.root / "run.dcm",
        stored,
        SOPClassUID="1.2.840.10008.5.1.4.1.1.12.1.1",
        BitsStored=12,
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=[frame(*each) for each in zip(centres, spacings, strict=True)],
    )
    annotate(source.root / "run_2.json")
    records = read("dicom")
    assert [record.annotation is None for record in records] == [True, False, True]
    assert [record.spacing for record in records] == spacings
    for record, values, centre in zip(records, stored.astype(float), centres, strict=True):
        # PS3.3 C.11.2.1.2: ((x - (c - 0.5)) / (w - 1) + 0.5) * range
        expected = np.clip(((2 * values - 100 - (centre - 0.5)) / 800 + 0.5) * 255, 0, 255)
        assert np.abs(pixels_of(record) - expected).max() <= 0.51


def test_an_enhanced_run_states_a_spacing_at_the_detector_and_a_magnification(source, convert):
    at_the_detector, geometry, shared = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
    at_the_detector.ImagerPixelSpacing = [0.3, 0.3]
    geometry.EstimatedRadiographicMagnificationFactor = 1.5
    shared.FramePixelDataPropertiesSequence, shared.XRayGeometrySequence = [at_the_detector], [geometry]
    dicom(
        source.root / "run.dcm",
        EIGHT_BIT,
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=[pydicom.Dataset() for _ in EIGHT_BIT],
    )
    annotate(source.root / "run_1.json")
    assert convert("dicom")["counts"]["images_with_spacing_at_the_detector"] == 1


def test_files_of_one_run_that_only_look_numbered_are_annotated_by_their_own_names(source, read):
    for name in ("run", "run_2"):
        dicom(source.root / f"{name}.dcm", EIGHT_BIT[0])
    annotate(source.root / "run_2.json")
    assert [(r.name, r.annotation is None) for r in read("dicom")] == [
        ("run.dcm", True),
        ("run_2.dcm", False),
    ]


@pytest.mark.parametrize(("spoil", "reason"), [s[1:] for s in _spoilers()], ids=[s[0] for s in _spoilers()])
def test_bad_input_is_one_sentence_and_nothing_is_written(source, convert, tmp_path, spoil, reason):
    dicom(source.root / "a.dcm", EIGHT_BIT[0])
    annotate(source.root / "a.json")
    spoil(source.root)
    with pytest.raises(UserError, match=reason) as caught:
        convert("dicom")
    assert not (tmp_path / "tree").exists()
    assert all(line.endswith((".", ":")) for line in str(caught.value).splitlines())


def test_other_files_do_not_matter(source, read):
    dicom(source.root / "a.dcm", EIGHT_BIT[0])
    (source.root / "notes.txt").write_text("nothing")
    source.image("export.png")
    assert len(read("dicom")) == 1


def smooth(highest: int, kind: type = np.uint16) -> np.ndarray:
    """Values from 0 to `highest`, all about as frequent, of shape (30, 40)."""
    return np.linspace(0, highest, 1200).reshape(30, 40).astype(kind)


@pytest.mark.parametrize(
    ("stored", "tags"),
    [
        (smooth(1023), {}),
        (smooth(1023) + 7, {"PhotometricInterpretation": "MONOCHROME1"}),
        (smooth(30_000), {}),
        (smooth(4095), {"BitsStored": 14}),
        (smooth(2000, np.int16) - np.int16(1000), {"PixelRepresentation": 1}),
        (smooth(1023), {"RescaleSlope": "-2", "RescaleIntercept": "50"}),
        (np.where(np.arange(1200).reshape(30, 40) < 6, 65535, smooth(1000)), {"PixelPaddingValue": 65535}),
    ],
    ids=["unsigned", "inverted", "half the range", "14 bits", "signed", "rescaled", "padded"],
)
def test_more_than_12_bits_without_a_window_are_shown_in_the_range_of_their_values(
    source, read, stored, tags
):
    dicom(
        source.root / "a.dcm", stored.astype(stored.dtype if stored.dtype == np.int16 else np.uint16), **tags
    )
    (record,) = read("dicom")
    grey = pixels_of(record)
    assert len(np.unique(grey)) > 200
    assert record.counts["images_windowed_by_their_values"] == 1
    order = -1 if tags.get("PhotometricInterpretation") == "MONOCHROME1" or "RescaleSlope" in tags else 1
    inside = stored != tags.get("PixelPaddingValue")
    assert (order * np.diff(grey[inside].astype(int)) >= 0).all()


def test_frames_of_a_run_are_shown_in_one_range(source, read):
    dicom(source.root / "a.dcm", np.stack([smooth(500), smooth(1000)]).astype(np.uint16))
    first, second = read("dicom")
    assert pixels_of(first).max() == 128
    assert pixels_of(second).max() == 255


@pytest.mark.parametrize(
    ("stored", "tags"),
    [
        (smooth(255), {"BitsStored": 12}),
        (smooth(15), {"BitsStored": 10}),
        (np.where(np.arange(1200).reshape(30, 40) < 6, 65535, smooth(1000)).astype(np.uint16), {}),
        (np.where(np.arange(1200).reshape(30, 40) < 90, 65535, smooth(1000)).astype(np.uint16), {}),
        (smooth(1023), {"WindowCenter": 40_000, "WindowWidth": 100}),
        (np.full((30, 40), 700, np.uint16), {}),
    ],
    ids=["dark", "very dark", "a few bright pixels", "a burnt-in band", "a window elsewhere", "one grey"],
)
def test_values_of_which_nothing_would_be_seen_are_refused(source, convert, stored, tags):
    dicom(source.root / "a.dcm", stored, **tags)
    annotate(source.root / "a.json")
    with pytest.raises(UserError, match=r"a\.dcm has .*(state a window|everywhere)"):
        convert("dicom")


@pytest.mark.parametrize("packed", [False, True], ids=["words", "bytes"])
def test_a_table_of_8_bits_may_have_more_than_256_entries(source, read, packed):
    stored = smooth(1023)
    table = pydicom.Dataset()
    table.add_new("LUTDescriptor", "US", [1024, 0, 8])
    entries = np.arange(1024) // 4
    table.add_new("LUTData", "OW", entries.astype(np.uint8 if packed else np.uint16).tobytes())
    dicom(source.root / "a.dcm", stored, BitsStored=10, VOILUTSequence=[table])
    (record,) = read("dicom")
    assert np.array_equal(pixels_of(record), stored // 4)


def test_a_black_frame_within_its_range_is_shown(source, read):
    dicom(source.root / "a.dcm", np.zeros((30, 40), np.uint16), BitsStored=12)
    (record,) = read("dicom")
    assert not pixels_of(record).any()


def test_what_has_no_window_or_is_meant_as_a_subtraction_is_told(source, convert):
    dicom(source.root / "a.dcm", smooth(1023), RecommendedViewingMode="SUB")
    annotate(source.root / "a.json")
    summary = convert("dicom")
    assert summary["counts"]["images_windowed_by_their_values"] == 1
    assert summary["counts"]["images_meant_to_be_subtracted"] == 1
    assert any("state no window" in warning for warning in summary["warnings"])
    assert any("less their mask frame" in warning for warning in summary["warnings"])


def restate(path: Path, keyword: str, stated: bytes) -> None:
    """Replace the value of a text element (explicit VR, short form) in the bytes: pydicom would not write it."""
    tag = pydicom.datadict.tag_for_keyword(keyword)
    head = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")
    content = path.read_bytes()
    start = content.index(head + pydicom.datadict.dictionary_VR(tag).encode()) + 6
    length = int.from_bytes(content[start : start + 2], "little")
    stated += b" " * (len(stated) % 2)
    path.write_bytes(
        content[:start] + len(stated).to_bytes(2, "little") + stated + content[start + 2 + length :]
    )


@pytest.mark.parametrize(
    ("keyword", "stated"),
    [
        ("NumberOfFrames", b"1.5x"),
        ("NumberOfFrames", b"-3"),
        ("NumberOfFrames", b"0"),
        ("NumberOfFrames", b"999999999999"),
        ("NumberOfFrames", b"9000000"),
        ("NumberOfFrames", b"9" * 6000),
        ("NumberOfFrames", b"1\\2"),
        ("NumberOfFrames", b"NaN"),
        ("InstanceNumber", b"x7"),
        ("InstanceNumber", b"1\\2"),
        ("ImagerPixelSpacing", b"a\\b"),
        ("ImagerPixelSpacing", b"1e999\\1"),
        ("EstimatedRadiographicMagnificationFactor", b"x"),
        ("WindowCenter", b"x"),
        ("WindowWidth", b"1e999"),
        ("RescaleSlope", b"x"),
    ],
)
def test_a_header_that_states_nonsense_is_one_sentence(source, convert, keyword, stated):
    tags = {"NumberOfFrames": 1, "InstanceNumber": 1, "WindowCenter": 100, "WindowWidth": 200}
    tags |= {"RescaleSlope": 1, "RescaleIntercept": 0, "ImagerPixelSpacing": [0.2, 0.2]}
    tags |= {"EstimatedRadiographicMagnificationFactor": 1}
    path = dicom(source.root / "a.dcm", EIGHT_BIT[0], **tags)
    restate(path, keyword, stated)
    annotate(source.root / "a.json")
    start = time.monotonic()
    with pytest.raises(UserError, match=r"^[^\n]*a\.dcm[^\n]*$"):
        convert("dicom")
    assert time.monotonic() - start < 20


def test_an_image_larger_than_any_that_opens_is_refused(source, convert):
    dicom(source.root / "a.dcm", EIGHT_BIT[0], Rows=60_000, Columns=60_000)
    annotate(source.root / "a.json")
    with pytest.raises(UserError, match=r"a\.dcm states an image of 60000 x 60000 pixels"):
        convert("dicom")


def test_a_file_that_is_deflated_as_a_whole_is_refused(source, convert):
    header = pydicom.dcmread(dicom(source.root / "a.dcm", EIGHT_BIT[0]))
    header.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    header.save_as(source.root / "a.dcm", enforce_file_format=True)
    with pytest.raises(UserError, match=r"a\.dcm is deflated"):
        convert("dicom")


@pytest.mark.parametrize(
    "damage", [lambda jpeg: jpeg[:20] + jpeg[21:], lambda jpeg: jpeg.replace(b"\xff\xc4", b"\xff\x01")]
)
def test_a_frame_whose_decoder_aborts_is_told_by_name(source, convert, damage):
    """GDCM ends the process that decodes these."""
    buffer = io.BytesIO()
    Image.fromarray(EIGHT_BIT[0]).save(buffer, "JPEG")
    header = pydicom.dcmread(dicom(source.root / "a.dcm", EIGHT_BIT[0]))
    header.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    header.PixelData = pydicom.encaps.encapsulate([damage(buffer.getvalue())])
    header.save_as(source.root / "a.dcm", enforce_file_format=True)
    annotate(source.root / "a.json")
    with pytest.raises(UserError, match=r"^[^\n]*a\.dcm[^\n]*(ended by SIGABRT|cannot be decoded)[^\n]*$"):
        convert("dicom")
