"""Whole conversions where nobody says who is on the images, and where somebody does."""

import json

import pytest

from refvessel.errors import UserError

pytestmark = pytest.mark.usefixtures("converted_here")

BOX = [5, 5, 35, 5, 35, 15, 5, 15]
RATIOS = {"train": 0.5, "test": 0.5}
HASH = "0cc175b9c0f1b6a831c399e269772661"


def coco(source, names, folder="images", file="annotations.json"):
    """A COCO file of one box an image, and its images."""
    for name in names:
        source.image(f"{folder}/{name}")
    region = {"category_id": 1, "iscrowd": 0, "segmentation": [BOX]}
    content = {
        "categories": [{"id": 1, "name": "vessel"}],
        "images": [{"id": i, "file_name": name, "width": 40, "height": 30} for i, name in enumerate(names)],
        "annotations": [{"id": i, "image_id": i, **region} for i in range(len(names))],
    }
    (source.root / file).write_text(json.dumps(content))


@pytest.mark.parametrize("splits", [RATIOS, None])
def test_several_splits_need_to_know_who_is_on_the_images(source, convert, tmp_path, splits):
    for name in ("p1_01.png", "p2_01.png"):
        source.labelme(name)
    with pytest.raises(
        UserError, match=r"Nothing says who is on 2 images.* splits .*test.*single_split"
    ) as caught:
        convert(splits=splits)
    assert "patient_pattern" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "tree").exists()


def test_it_is_told_before_images_are_opened(source, convert):
    source.labelme("p1_01.png")
    (source.root / "p1_01.png").write_bytes(b"no image")
    with pytest.raises(UserError, match="Nothing says who is on 1 images"):
        convert(splits=RATIOS)


@pytest.mark.parametrize("how", [{"splits": {"test": 1.0}}, {"single_split": "test"}])
def test_one_split_does_not(source, convert, how):
    source.labelme("p1_01.png")
    assert convert(**how)["patients_stated"] is False


def test_the_numbers_and_three_pseudonyms_are_told(source, convert, capsys):
    for name in ("zu1_01.png", "zu1_02.png", "yo2_01.png", "wi3_01.png", "ve4_01.png"):
        source.labelme(name)
    summary = convert()
    (warning,) = summary["warnings"]
    assert "5 images became 4 patients" in warning
    (frequent,) = {i["patient"] for i in summary["images"].values() if i["frame"] == 2}
    assert f"(e.g. {frequent} with 2 images, p" in warning
    assert warning.count(" with 1 image,") + warning.count(" with 1 image)") == 2
    assert f"Warning: {warning}" in capsys.readouterr().err
    assert "zu1" not in warning


def test_stated_patients_are_no_warning(source, convert, tmp_path):
    source.labelme("p1_01.png")
    (tmp_path / "patients.csv").write_text("image,patient\np1_01,p1\n")
    for how in ({"patient_pattern": r"(?P<patient>p\d)"}, {"patients": tmp_path / "patients.csv"}):
        summary = convert(**how)
        assert summary["warnings"] == []
        assert summary["patients_stated"] is True


def test_the_data_may_state_them(source, convert):
    coco(source, ["a_1.png", "b_1.png"])
    assert convert("coco", options={"patient": "{name}"}, splits=RATIOS)["counts"]["patients"] == 2


def test_arcades_names_need_no_setting_in_one_split(source, convert):
    coco(source, [f"test_{number}.png" for number in range(5)])
    summary = convert("coco")
    assert summary["counts"]["patients"] == 5
    assert "5 images became 5 patients" in summary["warnings"][0]


def test_every_image_may_be_stated_to_be_another_patient(source, convert):
    coco(source, [f"IMG_{number}.png" for number in range(9)])
    assert convert("coco")["counts"]["patients"] == 1
    assert convert("coco", patient_pattern="(?P<patient>.+)", splits=RATIOS)["counts"]["patients"] == 9


def roboflow(source):
    frames = {"train": ["pt01_0001", "pt02_0001"], "valid": ["pt03_0001"], "test": ["pt01_0002"]}
    for split, names in frames.items():
        names = [f"{name}_png.rf.{HASH[::-1] if name.endswith('2') else HASH}.jpg" for name in names]
        coco(source, names, split, f"{split}/_annotations.coco.json")
    return {"annotations": "{split}/_annotations.coco.json", "images": "{split}"}


def test_an_export_with_splits_of_its_own_needs_to_know_too(source, convert):
    options = roboflow(source) | {"splits": {"train": "train", "valid": "val", "test": "test"}}
    with pytest.raises(UserError, match=r"Nothing says who is on 4 images.* test, train, val"):
        convert("coco", options=options, splits=None)
    with pytest.raises(UserError, match="are of one patient; bring them into one split"):
        convert("coco", options=options, splits=None, patient_pattern=r"(?P<patient>pt\d+)_")


def test_hashes_that_exporters_add_do_not_divide_a_patient(source, convert):
    assert convert("coco", options=roboflow(source))["counts"]["patients"] == 3


def test_two_runs_of_a_person_are_one_patient(source, convert):
    runs = ["Xu Lan(0012345)_1-3_1_0A1B", "Xu Lan(0012345)_1-4_1_0A1C", "Gao^(0054321)_1-2_1_0A1D"]
    source.sa2va(
        [
            {"image": f"{run}_{frame:06d}.png", "mask": [BOX], "text": ["vessel"]}
            for run in runs
            for frame in (1, 2)
        ]
    )
    assert convert("sa2va")["counts"]["patients"] == 2


def test_a_tree_whose_patients_nobody_stated_does_not_state_them(source, convert, tmp_path):
    for name in ("p1_01.png", "p2_01.png"):
        source.labelme(name)
    convert()
    source.root = tmp_path / "tree"
    with pytest.raises(UserError, match="Nothing says who is on 2 images"):
        convert("refcoco", output=tmp_path / "again", splits=RATIOS)
    assert convert("refcoco", output=tmp_path / "again")["counts"]["patients"] == 2


def test_a_foreign_tree_without_patients_does_not_state_them(source, convert, tmp_path):
    source.labelme("p1_01.png")
    convert(patient_pattern="(?P<patient>.+)")
    source.root = tmp_path / "tree"
    instances = source.root / "ref_seg/refcoco/instances.json"
    content = json.loads(instances.read_text())
    del content["images"][0]["patient"]
    instances.write_text(json.dumps(content))
    with pytest.raises(UserError, match="Nothing says who is on 1 images"):
        convert("refcoco", output=tmp_path / "again", splits=RATIOS)


@pytest.mark.parametrize(
    "listed", ["p2_77.png", f"p2_01_png.rf.{HASH}.jpg", "9e107d9d-p2_1.png", "elsewhere/p2/3.png"]
)
def test_a_likely_patient_is_looked_for_among_training_images(source, convert, tmp_path, listed):
    source.labelme("p2_01.png")
    (tmp_path / "trained.txt").write_text(f"{listed}\n")
    with pytest.raises(
        UserError, match=r"p2_01\.png \(test\) shows the patient 'p2', of whom an image is listed"
    ):
        convert(trained_on=tmp_path / "trained.txt")
