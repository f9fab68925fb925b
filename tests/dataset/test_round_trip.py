"""Masks come out of a tree as they went in, read by the loader and as the official one reads."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco
from skimage.draw import disk, line

from refvessel import rle
from refvessel.dataset.tree.layout import IMAGES
from refvessel.dataset.tree.loader import ReferringDataset
from refvessel.dataset.tree.writing import tree_writer
from refvessel.settings.inference_section import Inference


def write_frames(source, shared: Path, form: str, factor: float) -> dict[str, list]:
    """The annotated frames of ARCADE in one of the forms, coordinates times `factor`; name -> polygons."""
    folder = shared / "vessels" / "arcade_stenosis"
    content = json.loads((folder / "annotations.json").read_text())
    polygons: dict[int, list] = {}
    for annotation in content["annotations"]:
        polygons.setdefault(annotation["image_id"], []).extend(annotation["segmentation"])
    frames = {
        image["file_name"]: polygons[image["id"]] for image in content["images"] if image["id"] in polygons
    }
    side, entries = round(512 * factor), []
    for name, parts in frames.items():
        scaled = [(np.array(part) * factor).tolist() for part in parts]
        (found,) = folder.rglob(name)
        target = source.root / ("" if form == "labelme" else "images") / name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(found.read_bytes())
        if form == "labelme":
            regions = [("stenosis", np.reshape(part, (-1, 2)).tolist()) for part in scaled]
            source.labelme(name, regions, size=(side, side), image=False)
        else:
            entries.append({"image": name, "width": side, "height": side} | _sa2va_masks(form, scaled))
    if form != "labelme":
        source.sa2va(entries)
    return frames


def _sa2va_masks(form: str, polygons: list) -> dict[str, list]:
    if form == "flat":
        return {"mask": polygons, "text": ["stenosis"]}
    return {"mask": [polygons], "text": ["stenosis"]}


@pytest.mark.parametrize("form", ["labelme", "flat", "nested"])
def test_real_frames_have_the_masks_of_pycocotools_in_every_form(
    source, convert, shared, tmp_path, form, officially_read
):
    for factor in (1, 800 / 512):
        frames = write_frames(source, shared, form, factor)
        assert_converted_as_pycocotools(frames, convert, tmp_path, form, factor, officially_read)


def assert_converted_as_pycocotools(frames, convert, tmp_path, form, factor, officially_read):
    summary = convert("labelme" if form == "labelme" else "sa2va", pseudonymise=False)
    assert summary["counts"]["images"] == len(frames) == 40
    assert summary["counts"]["images_scaled"] == (0 if factor == 1 else 40)
    read = officially_read(tmp_path / "tree", "test")
    dataset = ReferringDataset(tmp_path / "tree", "test", Inference().question)
    assert len(dataset) == 40
    for item in dataset:
        name = Path(item["image_path"]).name
        expected = coco.decode(coco.merge(coco.frPyObjects(frames[name], 512, 512)))
        assert expected.any()
        assert np.array_equal(read[name]["stenosis"], expected)
        assert np.array_equal(item["gt_masks"], expected[None])


# Round trip


@st.composite
def vessel_masks(draw) -> np.ndarray:
    """Rings, thick and one-pixel branches, and single pixels."""
    height, width = draw(st.integers(8, 64)), draw(st.integers(8, 64))
    mask = np.zeros((height, width), np.uint8)
    point = st.tuples(st.integers(0, height - 1), st.integers(0, width - 1))
    for centre, radius in draw(st.lists(st.tuples(point, st.integers(2, 20)), max_size=3)):
        ring = np.zeros_like(mask)
        ring[disk(centre, radius, shape=mask.shape)] = 1
        ring[disk(centre, radius - 1, shape=mask.shape)] = 0
        mask |= ring
    for start, end in draw(st.lists(st.tuples(point, point), max_size=6)):
        mask[line(*start, *end)] = 1
    for row, column in draw(st.lists(point, max_size=5)):
        mask[row, column] = 1
    return mask


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(masks=st.lists(vessel_masks(), min_size=10, max_size=10))  # 500 masks: a tree costs more than a mask
def test_any_mask_comes_back_identical_through_tree_and_loader(tmp_path, officially_read, masks):
    (tmp_path / IMAGES).mkdir(parents=True, exist_ok=True)
    with tree_writer(tmp_path, ["background", "vessel"]) as writer:
        for number, mask in enumerate(masks):
            height, width = mask.shape
            name = f"{number}.png"
            Image.new("L", (width, height)).save(tmp_path / IMAGES / name)
            truths = {"vessel": [rle.encode(mask)], "background": [rle.encode(1 - mask)]}
            writer.add(file_name=name, size=(width, height), patient="p", split="test", truths=truths)
    items, read = (
        list(ReferringDataset(tmp_path, "test", Inference().question)),
        officially_read(tmp_path, "test"),
    )
    assert len(items) == len(read) == len(masks)
    for number, (mask, item) in enumerate(zip(masks, items, strict=True)):
        assert Path(item["image_path"]).name == f"{number}.png"
        assert np.array_equal(item["gt_masks"], np.stack([1 - mask, mask]))
        assert np.array_equal(read[f"{number}.png"]["vessel"], mask)
