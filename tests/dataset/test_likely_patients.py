"""Who may be on an image of which nothing but the name is known: rather too many together than one twice."""

import pytest

from refvessel.dataset.patients.likely_patients import (
    UNNAMED,
    clues,
    last_number,
    likely_patients,
    plain_stem,
)

HASH = "0cc175b9c0f1b6a831c399e269772661"


def patients(*names: str) -> int:
    return len(set(likely_patients(names).values()))


@pytest.mark.parametrize(
    ("name", "patient", "frame"),
    [
        ("p1_001.png", "p1", 1),
        ("p1-12.png", "p1", 12),
        ("p1_frame12.png", "p1", 12),
        ("p1_IMG_0012.jpeg", "p1", 12),
        ("p1_f3.png", "p1", 3),
        ("p1_2_003.png", "p1", 3),
        ("p1.v2_003.png", "p1", 3),
        ("p1.png", "p1", None),
        ("Zhang Wei 2_7.png", "Zhang Wei", 7),
        ("ZHANG^WEI_1.png", "zhang wei", 1),
        ("张伟1_2.png", "张伟", 2),
        ("0012345_12.png", "0012345", 12),
        ("LAD_p07_3.png", "p07", 3),
        ("20240305_p07_3.png", "p07", 3),
        ("patient 7 run 2 frame 3.png", "patient 7", 3),
        ("sub-01_ses-2_run-3.png", "sub", 3),
    ],
)
def test_what_opens_a_name_is_the_patient_and_what_ends_it_the_frame(name, patient, frame):
    assert likely_patients([name, "other.png"])[name] == patient
    assert last_number(name) == frame


@pytest.mark.parametrize(
    "name", ["p1/003.png", "p1/frame_003.png", "p1/left.png", "train/p1/LAD_3.png", "p1/run2/1.png"]
)
def test_a_folder_may_be_the_patient(name):
    assert likely_patients([name, "p2/003.png"])[name] == "p1"


@pytest.mark.parametrize(
    "name",
    [
        *(
            "0012.png",
            "1.png",
            "IMG_0001.png",
            "frame_000012.PNG",
            "f_3.png",
            "DSC00012.JPG",
            "angio (3).png",
        ),
        *("train/images/17.png", "RCA_12.png", "left.png", "20240305_1.png"),
        *(f"{HASH}.png", "3fa85f64-5717-4562-b3fc-2c963f66afa6.png"),
    ],
)
def test_a_name_that_names_nobody_falls_to_the_one_group_of_those(name):
    assert clues(name) == {UNNAMED}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (f"pt01_0001_png.rf.{HASH}.jpg", "pt01_0002_jpg.rf.0N0ZxLhVCuQ2oDDaIWXh.jpg"),
        ("9e107d9d-pt01_0001.png", "12345678-pt01_0002.png"),
        ("3fa85f64-5717-4562-b3fc-2c963f66afa6-p07_2.png", "p07_3.png"),
        (f"{HASH}_p07_2.png", "p07_3.png"),
        ("p07_1 (2).png", "p07_2 - Copy.png"),
        ("Xu Lan(0012345)_1-3_1_0A1B_frame_01.jpg", "Xu Lan(0012345)_1-4_1_0A1C_frame_07.jpg"),
        ("Xu Lan(0012345)_1-3.jpg", "XU^LAN[0012345]_2.jpg"),
        ("XuLan_0012345_1-3_2.png", "XuLan_0012345_1-4_2.png"),
        ("run1/p1_001.png", "run2/p1_001.png"),
        ("2023/p1/a.png", "2024/p1/b.png"),
        ("p1/LCA_1.png", "p1/RCA_1.png"),
        ("Image_01L.jpg", "Image_01R.jpg"),
        ("0001_p07.png", "0002_p07.png"),
        ("P07_1.png", "p07_2.png"),
        ("p07f1.png", "p07f2.png"),
        ("Wang%20Lihua_1.png", "Wang Lihua_2.png"),
        ("M\u00fcller_1.png", "Mu\u0308ller_2.png"),
    ],
)
def test_images_of_one_person_stay_together(first, second):
    assert patients(first, second, "somebody_1.png") == 2
    assert likely_patients([first, second])[first] == likely_patients([first, second])[second]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("D1_wang_1.png", "OM1_wang_2.png"),
        ("E1011_wang_1.png", "E1112_wang_1.png"),
        ("baseline_wang.png", "visit_wang.png"),
        ("001_0051234.png", "002_0051234.png"),
        ("WANG LIHUA_1.png", "WangLihua_2.png"),
    ],
)
def test_a_name_may_open_with_a_visit_an_accession_or_a_segment(first, second):
    found = likely_patients([first, second, "somebody_1.png"])
    assert found[first] == found[second] != found["somebody_1.png"]


def test_a_word_of_all_names_and_one_behind_a_code_say_nothing():
    assert patients("wang_anon_1.png", "chen_anon_1.png") == 2
    assert patients("p07_stenosis.png", "p08_stenosis.png", "p09_normal.png") == 3
    assert patients("WANG^LI_1.png", "WANG^GANG_1.png", "CHEN^LI_1.png") == 3


def test_images_that_are_linked_by_others_stay_together():
    assert patients("a/x_1.png", "b/x_2.png", "b/y_1.png", "c/y_2.png", "c/z_1.png") == 1


def test_a_folder_of_all_images_says_nothing():
    assert patients("ward/2024/p1_1.png", "ward/2024/p2_1.png") == 2


def test_public_sets_number_their_cases():
    """ARCADE's names: of 40 images, each is a patient's; frames that are merely numbered are not told apart."""
    assert patients(*(f"test_{number}.png" for number in range(40)), "train_7.png") == 41
    assert patients(*(f"case_{number}.png" for number in range(40))) == 40
    assert patients(*(f"IMG_{number:04d}.png" for number in range(40))) == 1


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        (f"test_1_png.rf.{HASH}.jpg", "test_1"),
        ("9e107d9d-p1.png", "p1"),
        ("p1 (1) - Copy.png", "p1"),
        ("p1_1.png", "p1_1"),
        (f"{HASH}.png", HASH),
    ],
)
def test_what_exporters_add_is_taken_off(name, stem):
    assert plain_stem(name) == stem
