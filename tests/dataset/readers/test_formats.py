"""The options of formats, and the layouts of public data sets on miniature copies of their folders."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refvessel import rle
from refvessel.dataset.tree.expressions import read_expressions
from refvessel.errors import UserError
from refvessel.settings.public_layouts import LAYOUTS

pytestmark = pytest.mark.usefixtures("converted_here")

VESSEL = np.zeros((30, 40), bool)
VESSEL[5:9, 3:35] = True
VIEW = np.zeros((30, 40), bool)
VIEW[2:28, 2:38] = True


def save(path: Path, pixels: np.ndarray, mode: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path)


def photograph(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (30, 40, 3), np.uint8)


def white(mask: np.ndarray) -> np.ndarray:
    return np.where(mask, 255, 0).astype(np.uint8)


def drive(root):
    for seed, (folder, number) in enumerate([("training", "21"), ("training", "22"), ("test", "01")]):
        save(root / folder / "images" / f"{number}_{folder}.tif", photograph(seed))
        save(root / folder / "1st_manual" / f"{number}_manual1.gif", white(VESSEL))
        save(root / folder / "mask" / f"{number}_{folder}_mask.gif", white(VIEW))
    save(root / "test" / "2nd_manual" / "01_manual2.gif", white(VIEW))
    return {"01": ("test", "01"), "21": ("train", "21"), "22": ("train", "22")}


def stare(root):
    for seed, name in enumerate(["im0001", "im0324"]):
        save(root / "stare-images" / f"{name}.ppm", photograph(seed))
        save(root / "labels-ah" / f"{name}.ah.ppm", white(VESSEL), "RGB")
        save(root / "labels-vk" / f"{name}.vk.ppm", white(VIEW), "RGB")
    save(root / "stare-images" / "im0400.ppm", photograph(9))  # most of the 400 have no labels
    return {name: (None, name) for name in ("im0001", "im0324")}


def chase_db1(root):
    for seed, name in enumerate(["01L", "01R", "14L"]):
        save(root / f"Image_{name}.jpg", photograph(seed))
        save(root / f"Image_{name}_1stHO.png", VESSEL)
        save(root / f"Image_{name}_2ndHO.png", VIEW)
    return {"Image_01L": (None, "01"), "Image_01R": (None, "01"), "Image_14L": (None, "14")}


def hrf(root):
    for seed, (name, suffix) in enumerate([("01_dr", "JPG"), ("01_h", "jpg"), ("15_g", "jpg")]):
        save(root / "images" / f"{name}.{suffix}", photograph(seed))
        save(root / "manual1" / f"{name}.tif", white(VESSEL))
        save(root / "mask" / f"{name}_mask.tif", white(VIEW), "RGB")
    return {name: (None, name) for name in ("01_dr", "01_h", "15_g")}


def fives(root):
    for seed, (split, name) in enumerate([("train", "1_A"), ("train", "2_N"), ("test", "1_A")]):
        save(root / split / "Original" / f"{name}.png", photograph(seed))
        save(root / split / "Ground truth" / f"{name}.png", white(VESSEL), "RGB")
    return {
        "train/1_A": ("train", "train/1_A"),
        "train/2_N": ("train", "train/2_N"),
        "test/1_A": ("test", "test/1_A"),
    }


def dca1(root):
    for number in (1, 2, 134):
        save(root / "Database_134_Angiograms" / f"{number}.pgm", photograph(number)[..., 0])
        save(root / "Database_134_Angiograms" / f"{number}_gt.pgm", white(VESSEL))
    return {str(number): (None, str(number)) for number in (1, 2, 134)}


def xcad(root):
    for name in ("00018_33", "18671_41"):
        save(root / "test" / "img" / f"{name}.png", photograph(int(name[-2:]))[..., 0])
        save(root / "test" / "gt" / f"{name}.png", white(VESSEL))
    save(root / "train" / "img" / "000_PPA_44_PSA_00_8.png", photograph(7)[..., 0])  # without a mask
    return {name: ("test", name[:5]) for name in ("00018_33", "18671_41")}


def arcade(root):
    outline = [3, 5, 35, 5, 35, 9, 3, 9]
    for seed, split in enumerate(["train", "val", "test"]):
        save(root / split / "images" / "1.png", photograph(seed)[..., 0])
        content = {
            "images": [{"id": 1, "width": 40, "height": 30, "file_name": "1.png"}],
            "categories": [{"id": 1, "name": "vessel"}],
            "annotations": [
                {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [outline], "iscrowd": 0}
            ],
        }
        path = root / split / "annotations" / f"{split}.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(content))
    return {f"{split}/1": (split, f"{split}/1") for split in ("train", "val", "test")}


MINIATURES = {make.__name__: make for make in (drive, stare, chase_db1, hrf, fives, dca1, xcad, arcade)}


def test_every_layout_has_a_miniature():
    assert MINIATURES.keys() == LAYOUTS.keys()


@pytest.mark.parametrize("layout", MINIATURES)
def test_a_public_data_set_is_read_as_it_is_unpacked(source, read, layout):
    expected = MINIATURES[layout](source.root)
    source_format, _ = LAYOUTS[layout]
    records = [record for record in read(source_format, layout=layout) if record.annotation is not None]
    found = {(record.split, record.patient) for record in records}
    assert found == set(expected.values())
    assert len(records) == len(expected)
    assert all((record.ignore is not None) == (layout in ("drive", "hrf")) for record in records)


@pytest.mark.parametrize("layout", MINIATURES)
def test_a_public_data_set_converts_with_its_truth(source, convert, tmp_path, layout):
    expected = MINIATURES[layout](source.root)
    source_format, _ = LAYOUTS[layout]
    convert(source_format, options={"layout": layout}, pseudonymise=False)
    expressions = read_expressions(tmp_path / "tree", "test")
    assert len(expressions) == len(expected)
    for expression in expressions:
        assert np.array_equal(rle.decode(expression.truth), VESSEL)
        if layout in ("drive", "hrf"):
            assert np.array_equal(rle.decode(expression.ignore_mask), ~VIEW)
        else:
            assert expression.ignore_mask is None


def test_the_splits_of_a_data_set_stay_unless_ratios_are_given(source, convert):
    drive(source.root)
    arguments = {"options": {"layout": "drive"}, "pseudonymise": False}
    assert convert("masks", splits=None, **arguments)["splits"] == {"test": ["01"], "train": ["21", "22"]}
    assert list(convert("masks", splits={"val": 1.0}, **arguments)["splits"]) == ["val"]


def test_an_option_wins_over_the_layout(source, read):
    drive(source.root)
    records = read("masks", layout="drive", field_of_view=None, masks="{split}/2nd_manual/{name}_manual2.gif")
    assert [record.name for record in records if record.annotation] == ["test/images/01_test.tif"]


@pytest.mark.parametrize(
    ("source_format", "options", "reason"),
    [
        ("masks", {"treshold": 3}, "has no option 'treshold'; it has: images, masks"),
        ("sa2va", {"line_width": 3}, "has no option 'line_width'; it has: none"),
        ("masks", {"layout": "drives"}, "layout 'drives' is unknown; choose one of: arcade, chase_db1"),
        ("masks", {"layout": "arcade"}, "'arcade' is of the format 'coco', not 'masks'"),
        ("masks", {"threshold": "high"}, "threshold must be a positive number, not 'high'"),
        ("masks", {"labels": {1: ""}}, "labels must map"),
        ("masks", {"labels": {"x": "vessel"}}, "not a whole number"),
        ("masks", {"labels": {1: "vessel"}, "threshold": 3}, "labels excludes threshold"),
        ("labelme", {"line_width": -1}, "line_width must be a positive number"),
    ],
)
def test_an_unusable_option_is_named(read, source_format, options, reason):
    with pytest.raises(UserError, match=reason):
        read(source_format, **options)
