"""Images that are links to files named by their content, as DataLad, git-annex and DVC keep them."""

import base64
import hashlib
import json
import os
import shutil
from itertools import chain

import numpy as np
import pytest
from PIL import Image

from refvessel.errors import UserError

pytestmark = pytest.mark.usefixtures("converted_here")

BOX = [5, 5, 35, 5, 35, 15, 5, 15]


def annex(path):
    """Turn a file into a link into `.git/annex/objects`, beside the topmost folder of the data."""
    root = next(parent for parent in path.parents if parent.name == "source")
    content = path.read_bytes()
    key = f"MD5E-s{len(content)}--{hashlib.md5(content).hexdigest()}{path.suffix}"
    stored = root / ".git/annex/objects" / key / key
    stored.parent.mkdir(parents=True, exist_ok=True)
    path.rename(stored)
    path.symlink_to(os.path.relpath(stored, path.parent))


def labelme(source, names):
    for name in names:
        annex(source.labelme(name).with_suffix(".png"))
    return {}


def embedded(source, names):
    for name in names:
        annotation = source.labelme(name)
        pixels = annotation.with_suffix(".png").read_bytes()
        annotation.with_suffix(".png").unlink()
        content = json.loads(annotation.read_text()) | {"imageData": base64.b64encode(pixels).decode()}
        annotation.write_text(json.dumps(content))
        annex(annotation)
    return {}


def sa2va(source, names):
    source.sa2va([{"image": name, "mask": [BOX], "text": ["vessel"]} for name in names])
    for name in names:
        annex(source.root / "images" / name)
    return {}


def coco(source, names):
    region = {"category_id": 1, "iscrowd": 0, "segmentation": [BOX]}
    content = {
        "categories": [{"id": 1, "name": "vessel"}],
        "images": [{"id": i, "file_name": name, "width": 40, "height": 30} for i, name in enumerate(names)],
        "annotations": [{"id": i, "image_id": i, **region} for i in range(len(names))],
    }
    for name in names:
        annex(source.image(f"images/{name}"))
    (source.root / "annotations.json").write_text(json.dumps(content))
    return {"patient": "{name}"}


def masks(source, names):
    for name in names:
        annex(source.image(f"images/{name}"))
        mask = np.zeros((30, 40), np.uint8)
        mask[5:15, 5:35] = 255
        path = source.root / "masks" / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(mask).save(path)
        annex(path)
    return {}


FORMATS = {"labelme": labelme, "sa2va": sa2va, "coco": coco, "masks": masks}
NAMES = ["p1_1.png", "p1_2.png", "p2_1.png", "p3_1.png"]


@pytest.mark.parametrize("source_format", FORMATS)
def test_a_link_counts_by_the_name_that_is_seen(source, read, source_format):
    options = FORMATS[source_format](source, NAMES)
    records = [record for record in read(source_format, **options) if record.annotation]
    assert sorted(record.name.removeprefix("images/") for record in records) == NAMES
    if source_format == "coco":
        assert [record.patient for record in records] == ["p1_1", "p1_2", "p2_1", "p3_1"]


@pytest.mark.parametrize("source_format", FORMATS)
def test_patterns_and_tables_are_about_that_name(source, convert, tmp_path, source_format):
    FORMATS[source_format](source, NAMES)
    folder = "images/" if source_format == "masks" else ""
    rows = [f"{folder}{name},{name[:2]}\n" for name in NAMES]
    (tmp_path / "patients.csv").write_text("image,patient\n" + "".join(rows))
    for how in ({"patient_pattern": r"(?P<patient>p\d)_\d$"}, {"patients": tmp_path / "patients.csv"}):
        summary = convert(source_format, splits={"train": 0.5, "test": 0.5}, pseudonymise=False, **how)
        assert sorted(chain.from_iterable(summary["splits"].values())) == ["p1", "p2", "p3"]
    assert convert(source_format)["counts"]["patients"] == 3


def test_pseudonyms_and_the_way_back_are_of_that_name(source, convert, tmp_path):
    labelme(source, NAMES)
    convert()
    (table,) = (path.read_text() for path in (tmp_path / "key/names").rglob("*.csv"))
    assert "MD5E" not in table
    assert "p3_1.png" in table


def test_a_list_of_training_images_is_about_that_name(source, convert, tmp_path):
    labelme(source, NAMES)
    (tmp_path / "trained.txt").write_text("p2_1.png\n")
    with pytest.raises(UserError, match=r"p2_1\.png \(test\) is listed"):
        convert(trained_on=tmp_path / "trained.txt", patient_pattern=r"(?P<patient>p\d_\d)")


def test_a_linked_annotation_that_embeds_its_image_counts_by_its_own_name(source, read):
    embedded(source, NAMES[:2])
    assert [record.name for record in read("labelme")] == ["p1_1.json", "p1_2.json"]


def test_an_image_beside_a_linked_folder_counts_by_where_it_is_seen(source, read):
    source.labelme("store/x/p1_1.png")
    (source.root / "view").symlink_to(source.root / "store/x")
    (source.root / "store/x/p1_1.json").rename(source.root / "p1_1.json")
    content = json.loads((source.root / "p1_1.json").read_text()) | {"imagePath": "view/p1_1.png"}
    (source.root / "p1_1.json").write_text(json.dumps(content))
    assert [record.name for record in read("labelme") if record.annotation] == ["view/p1_1.png"]


def test_dots_behind_a_linked_folder_lead_where_the_system_goes(source, read):
    source.labelme("store/x/other.png")
    source.image("store/p1.png")
    (source.root / "view").symlink_to(source.root / "store/x")
    (source.root / "store/x/other.json").unlink()
    annotation = source.labelme("p1.png", image=False, imagePath="view/../p1.png")
    assert [record.name for record in read("labelme") if record.annotation] == ["store/p1.png"]
    assert annotation.is_file()


@pytest.mark.parametrize("source_format", FORMATS)
def test_a_file_that_was_not_fetched_is_told(source, read, source_format):
    options = FORMATS[source_format](source, NAMES)
    shutil.rmtree(source.root / ".git")
    with pytest.raises(UserError, match=r"does not exist|is not there; fetch it"):
        read(source_format, **options)
