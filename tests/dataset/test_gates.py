"""What would make numbers too good is refused before anything is written."""

import hashlib

import numpy as np
import pytest
from fundus import fundus
from PIL import Image, ImageEnhance

from refvessel.errors import UserError

pytestmark = pytest.mark.usefixtures("converted_here")

PATTERN = r"^(?P<split>\w+)/(?P<patient>p\d)"
SPLITS = {"train": 0.5, "test": 0.5}


@pytest.fixture
def two_splits(source):
    for name in ("train/p1_1.png", "test/p2_1.png", "test/p3_1.png"):
        source.labelme(name)
    return source


def test_what_was_compared_is_recorded(two_splits, convert):
    gates = convert(splits=SPLITS, patient_pattern=PATTERN)["gates"]
    assert gates["patients"] == {"compared": 3, "in_two_splits": 0}
    assert gates["identical_pixels"] == {"compared": 3, "across_splits": 0, "within_a_split": 0}
    near = gates["near_duplicates"]
    assert (near["bits"], near["threshold"], near["across_splits"]) == (256, 56, 0)
    assert 56 < near["nearest"] <= 256
    assert gates["trained_on"] is None


def copy_almost(source, original: str, copy: str) -> None:
    pixels = np.asarray(Image.open(source.root / original)).copy()
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(source.root / copy)


def test_near_duplicates_in_two_splits_are_refused(two_splits, convert, tmp_path):
    copy_almost(two_splits, "train/p1_1.png", "test/p2_1.png")
    with pytest.raises(UserError, match=r"look the same \(their hashes differ in \d of 256 bits\)") as caught:
        convert(splits=SPLITS, patient_pattern=PATTERN)
    assert "train/p1_1.png (train)" in str(caught.value)
    assert "test/p2_1.png (test)" in str(caught.value)
    assert not (tmp_path / "tree").exists()


def test_near_duplicates_in_one_split_or_not_looked_for_pass(two_splits, convert):
    copy_almost(two_splits, "test/p3_1.png", "test/p2_1.png")
    convert(splits=SPLITS, patient_pattern=PATTERN)
    copy_almost(two_splits, "train/p1_1.png", "test/p2_1.png")
    summary = convert(splits=SPLITS, patient_pattern=PATTERN, near_duplicates=None)
    assert summary["gates"]["near_duplicates"] is None


def pixel_hash(path) -> str:
    return hashlib.sha256(Image.open(path).convert("RGB").tobytes()).hexdigest()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("test/p2_1.png", "is listed"),
        ("test/p2_1", "is listed"),
        ("./test/p2_1.jpg", "is listed"),
        ("test\\p2_1.png", "is listed"),
        ("PIXELS", "is listed"),
        ("other/p2_77.png", "shows the patient 'p2', of whom an image is listed"),
    ],
)
def test_what_a_model_was_trained_on_is_not_evaluated(two_splits, convert, tmp_path, line, reason):
    line = line.replace("PIXELS", pixel_hash(two_splits.root / "test/p2_1.png"))
    (tmp_path / "trained.txt").write_text(f"# the hand-run training\n\ntrain/p1_1.png\n{line}\n")
    with pytest.raises(UserError, match=r"test/p2_1\.png \(test\) " + reason):
        convert(splits=SPLITS, patient_pattern=PATTERN, trained_on=tmp_path / "trained.txt")


def test_a_list_is_read_as_windows_writes_it(two_splits, convert, tmp_path):
    (tmp_path / "trained.txt").write_bytes(b"\xef\xbb\xbftest\\p2_1.png\r\n")
    with pytest.raises(UserError, match=r"test/p2_1\.png \(test\) is listed"):
        convert(splits=SPLITS, patient_pattern=PATTERN, trained_on=tmp_path / "trained.txt")


def test_training_images_may_be_in_train(two_splits, convert, tmp_path):
    (tmp_path / "trained.txt").write_text("train/p1_1.png\ntrain/p9_1.png\n")
    summary = convert(splits=SPLITS, patient_pattern=PATTERN, trained_on=tmp_path / "trained.txt")
    assert summary["gates"]["trained_on"] == {"listed": 2, "compared": 2, "found": 0}


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "lists no image"), (b"# none\n", "lists no image"), (b"\xff\xfe", "not a text file")],
)
def test_an_unusable_list_is_refused(two_splits, convert, tmp_path, content, reason):
    (tmp_path / "trained.txt").write_bytes(content)
    with pytest.raises(UserError, match=rf"trained\.txt.*{reason}"):
        convert(trained_on=tmp_path / "trained.txt")


@pytest.mark.parametrize("threshold", [-1, 256, 2.5, True])
def test_an_unusable_threshold_is_refused(convert, threshold):
    with pytest.raises(
        UserError, match=r"near_duplicates: .* is (less|greater) than|is not of type 'integer'"
    ):
        convert(near_duplicates=threshold)


def test_a_cropped_and_brightened_copy_is_refused_and_another_eye_is_not(source, convert):
    for name, image in (
        ("train/p1_1.png", fundus(1, side=1)),
        ("test/p2_1.png", fundus(2, side=1)),
        ("test/p3_1.png", ImageEnhance.Brightness(fundus(1, side=1).crop((17, 12, 550, 575))).enhance(1.2)),
    ):
        source.labelme(name, size=image.size)
        image.save(source.root / name)
    with pytest.raises(
        UserError, match=r"test/p3_1\.png \(test\) and train/p1_1\.png \(train\) look the same"
    ) as caught:
        convert(splits=SPLITS, patient_pattern=PATTERN)
    assert "p2_1" not in str(caught.value)


def test_images_that_are_near_and_differ_in_their_vessels_pass_and_are_counted(two_splits, convert):
    gates = convert(splits=SPLITS, patient_pattern=PATTERN, near_duplicates=255)["gates"]
    assert gates["near_duplicates"]["told_apart_by_vessels"] == 2


def test_one_split_has_nothing_to_compare(source, convert):
    source.labelme("p1_1.png")
    source.labelme("p2_1.png")
    assert convert()["gates"]["near_duplicates"]["nearest"] is None
