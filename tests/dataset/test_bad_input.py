"""What can be wrong with the images of a data set, in every format that names image files."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refvessel.dataset.tree import IMAGES, INSTANCES, REFS
from refvessel.errors import UserError

OUTLINE = [5, 5, 30, 5, 30, 20, 5, 20]
PAIRS = [[5, 5], [30, 5], [30, 20], [5, 20]]
WHOLE = [0, 0, 40, 0, 40, 30, 0, 30]


def labelme(source, names: list[str]) -> Callable[[str], Path]:
    for name in names:
        source.labelme(name, [("vessel", PAIRS)])
    return lambda name: source.root / name


def sa2va(source, names: list[str]) -> Callable[[str], Path]:
    source.sa2va([{"image": name, "mask": [OUTLINE], "text": ["vessel"]} for name in names])
    return lambda name: source.root / "images" / name


def masks(source, names: list[str]) -> Callable[[str], Path]:
    (source.root / "masks").mkdir()
    mask = np.zeros((30, 40), np.uint8)
    mask[5:20, 5:30] = 255
    for name in names:
        source.image(f"images/{name}")
        Image.fromarray(mask).save(source.root / "masks" / name)
    return lambda name: source.root / "images" / name


def coco(source, names: list[str]) -> Callable[[str], Path]:
    images = [{"id": i, "file_name": name, "width": 40, "height": 30} for i, name in enumerate(names)]
    annotations = [
        {"id": i, "image_id": i, "category_id": 1, "segmentation": [OUTLINE], "iscrowd": 0}
        for i in range(len(names))
    ]
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "vessel"}]}
    for name in names:
        source.image(f"images/{name}")
    (source.root / "annotations.json").write_text(json.dumps(content))
    return lambda name: source.root / "images" / name


def refcoco(source, names: list[str]) -> Callable[[str], Path]:
    import pickle

    images = [{"id": i, "file_name": name, "width": 40, "height": 30} for i, name in enumerate(names)]
    annotations = [{"id": i, "image_id": i, "segmentation": [OUTLINE]} for i in range(len(names))]
    refs = [
        {
            "ref_id": i,
            "ann_id": i,
            "image_id": i,
            "split": "test",
            "sentences": [{"sent_id": i, "sent": "vessel"}],
        }
        for i in range(len(names))
    ]
    for name in names:
        source.image(str(IMAGES / name))
    (source.root / INSTANCES).parent.mkdir(parents=True)
    (source.root / INSTANCES).write_text(json.dumps({"images": images, "annotations": annotations}))
    (source.root / REFS).write_bytes(pickle.dumps(refs, 2))
    return lambda name: source.root / IMAGES / name


FORMATS = {each.__name__: each for each in (labelme, sa2va, masks, coco, refcoco)}
GOOD, BAD = "p1_1.png", "p2_1.png"


def remove(path: Path, tmp_path: Path) -> None:
    path.unlink()


def truncate(path: Path, tmp_path: Path) -> None:
    path.write_bytes(path.read_bytes()[:300])


def empty(path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"")


def link_out(path: Path, tmp_path: Path) -> None:
    path.rename(tmp_path / "outside.png")
    path.symlink_to(tmp_path / "outside.png")


def lie(path: Path, tmp_path: Path) -> None:
    path.write_text("no image at all")


FAULTS = {
    "missing": (remove, "does not exist|no image matches this mask"),
    "truncated": (truncate, "does not open as an image"),
    "zero bytes": (empty, "does not open as an image"),
    "no image": (lie, "does not open as an image"),
    "a symlink out of the root": (link_out, "leads out of"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("source_format", FORMATS)
def test_a_bad_image_is_one_sentence_with_its_file_and_nothing_is_written(
    source, convert, tmp_path, source_format, fault
):
    place = FORMATS[source_format](source, [GOOD, BAD])
    spoil, reason = FAULTS[fault]
    spoil(place(BAD), tmp_path)
    with pytest.raises(UserError, match=reason) as caught:
        convert(source_format)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")
    assert "p2_1" in str(caught.value)
    assert not (tmp_path / "tree").exists()


@pytest.mark.parametrize("source_format", FORMATS)
def test_names_that_differ_by_case_only_are_refused(source, convert, tmp_path, source_format):
    FORMATS[source_format](source, [GOOD, GOOD.upper().replace(".PNG", ".png")])
    with pytest.raises(UserError, match="differ by case only; rename one"):
        convert(source_format)
    assert not (tmp_path / "tree").exists()


@pytest.mark.parametrize("source_format", FORMATS)
@pytest.mark.parametrize("name", ["Müller Änne [1] (2)_1.png", "张伟 #1_1.png", "a%20b {x}_1.png"])
def test_names_may_hold_spaces_brackets_and_unicode(source, convert, tmp_path, source_format, name):
    FORMATS[source_format](source, [name])
    assert convert(source_format)["counts"]["images"] == 1


@pytest.mark.parametrize("source_format", FORMATS)
def test_an_image_of_one_pixel_is_too_small_for_its_outline_and_told(source, convert, source_format):
    place = FORMATS[source_format](source, [GOOD])
    Image.new("L", (1, 1), 7).save(place(GOOD))
    if source_format in ("labelme", "coco"):  # these state the size that their coordinates refer to
        assert convert(source_format, include_empty=True)["counts"]["images_scaled"] == 1
        return
    with pytest.raises(UserError, match=r"the image of 1 x 1|on an image of 1 x 1"):
        convert(source_format)


@pytest.mark.parametrize("source_format", ["labelme", "sa2va", "coco"])
def test_an_outline_that_crosses_itself_is_counted_and_told(source, convert, source_format):
    FORMATS[source_format](source, [GOOD])
    for path in source.root.glob("*.json"):
        text = path.read_text()
        path.write_text(
            text.replace(json.dumps(OUTLINE), "[5, 5, 30, 20, 30, 5, 5, 20]").replace(
                json.dumps(PAIRS), "[[5, 5], [30, 20], [30, 5], [5, 20]]"
            )
        )
    summary = convert(source_format)
    assert summary["counts"]["regions_crossing_themselves"] == 1
    assert "crosses itself" in summary["warnings"][0]
