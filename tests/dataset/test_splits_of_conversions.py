"""Splits through whole conversions."""

import pytest
from PIL import Image

from refvessel.errors import UserError

pytestmark = pytest.mark.usefixtures("converted_here")

PATTERN = r"^((?P<split>\w+)/)?(?P<patient>p\d)"
RATIOS = {"train": 0.5, "test": 0.5}


def test_splits_follow_the_patient_and_stay_when_patients_are_added(source, convert):
    def split_of_patients(summary):
        return {image["patient"]: image["split"] for image in summary["images"].values()}

    for number in range(20):
        source.labelme(f"p{number}_01.png")
    how = {"splits": {"train": 0.5, "test": 0.5}, "patient_pattern": r"(?P<patient>p\d+)"}
    before = split_of_patients(convert(**how))
    for number in range(20, 30):
        source.labelme(f"p{number}_01.png")
    after = split_of_patients(convert(**how))
    assert set(before.values()) == {"train", "test"}
    assert len(after) == 30
    assert {patient: after[patient] for patient in before} == before


def test_a_pattern_may_give_the_split(source, convert, tmp_path):
    source.labelme("train/p1_1.png")
    source.labelme("test_b/p2_1.png")
    summary = convert(
        splits={"val": 1.0}, patient_pattern=r"^(?P<split>\w+)/(?P<patient>p\d)", pseudonymise=False
    )
    assert summary["splits"] == {"test_b": ["p2"], "train": ["p1"]}
    assert summary["warnings"] == []


def test_a_single_split_wins_over_the_pattern(source, convert):
    source.labelme("train/p1_1.png")
    summary = convert(
        single_split="val", patient_pattern=r"(?P<split>\w+)/(?P<patient>p\d)", pseudonymise=False
    )
    assert summary["splits"] == {"val": ["p1"]}


def test_an_empty_split_is_a_warning(source, convert, capsys):
    source.labelme("p1_01.png")
    summary = convert(splits={"train": 0.5, "test": 0.5}, patient_pattern=PATTERN)
    (warning,) = summary["warnings"]
    assert "No patient fell into the split" in warning
    assert f"Warning: {warning}" in capsys.readouterr().err


def test_repeated_pixels_within_a_split_are_a_warning(source, convert):
    annotation = source.labelme("p1_01.png")
    source.labelme("p1_02.png", image=False, imagePath="p1_02.png", imageData="")
    (source.root / "p1_02.png").write_bytes(annotation.with_suffix(".png").read_bytes())
    assert convert(patient_pattern=PATTERN)["warnings"] == [
        "1 images repeat the pixels of another image of their split."
    ]


def test_a_patient_in_two_splits_is_refused(source, convert):
    source.labelme("train/p1_1.png")
    source.labelme("test/p1_2.png")
    with pytest.raises(
        UserError, match=r"train/p1_1\.png \(train\) and test/p1_2\.png \(test\) are of one patient"
    ):
        convert(splits=RATIOS, patient_pattern=PATTERN)


def test_identical_pixels_in_two_splits_are_refused(source, convert):
    annotation = source.labelme("train/p1_1.png")
    source.labelme("test/p2_1.png")
    Image.open(annotation.with_suffix(".png")).convert("RGB").save(source.root / "test" / "p2_1.png")
    with pytest.raises(UserError, match="have identical pixels"):
        convert(splits=RATIOS, patient_pattern=PATTERN)
