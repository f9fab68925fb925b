"""Small vessel data in the forms that people have."""

import json
import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco
from stages import convert_dataset

from refvessel.dataset.conversion import converted

TRIANGLE = [[2, 2], [20, 4], [8, 25]]


def angiogram(seed: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    """A grey image of `size` (width, height) that no other seed gives."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, size[::-1], np.uint8))


class Source:
    """A folder of annotated images under construction."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._images = 0

    def image(self, name: str, size: tuple[int, int] = (40, 30)) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self._images += 1
        angiogram(self._images, size).save(path)
        return path

    def labelme(
        self,
        name: str,
        regions: Sequence[tuple[str, Any]] = (("vessel", TRIANGLE),),
        size: tuple[int, int] = (40, 30),
        **fields: Any,
    ) -> Path:
        """An image and its LabelMe file; `fields` replace fields of the file (`image=False`: no image)."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if fields.pop("image", True):
            self.image(name, size)
        shapes = [{"label": label, "points": points, "shape_type": "polygon"} for label, points in regions]
        content = {"imagePath": path.name, "imageData": None, "imageWidth": size[0], "imageHeight": size[1]}
        annotation = path.with_suffix(".json")
        annotation.write_text(json.dumps(content | {"shapes": shapes} | fields))
        return annotation

    def sa2va(self, entries: list[dict[str, Any]]) -> Path:
        """`annotations.json`; images are made where they are absent."""
        for entry in entries:
            if not (self.root / "images" / entry["image"]).exists():
                self.image(f"images/{entry['image']}")
        path = self.root / "annotations.json"
        path.write_text(json.dumps(entries))
        return path


@pytest.fixture
def source(tmp_path: Path) -> Source:
    root = tmp_path / "source"
    root.mkdir()
    return Source(root)


@pytest.fixture
def convert(source: Source, tmp_path: Path) -> Callable[..., dict]:
    """Convert the source to `tmp_path / "tree"`, everything in the split test, with a key of this test."""

    def run(source_format: str = "labelme", **arguments: Any) -> dict:
        if "splits" not in arguments:
            arguments.setdefault("single_split", "test")
        arguments.setdefault("output", tmp_path / "tree")
        arguments.setdefault("key_file", tmp_path / "key" / "pseudonym.key")
        arguments.setdefault("threads", 1)  # forking this process costs more than such few images
        return convert_dataset(format=source_format, root=source.root, **arguments)

    return run


@pytest.fixture
def converted_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fork of this process takes longer than the few sound images of a test: they are converted in it, and what
    comes of them is pickled as ever. Files that may crash or hang keep their processes.
    """

    def convert_each(function: Callable, items: Sequence, **_: Any) -> Iterator[Any]:
        for item in items:
            yield pickle.loads(pickle.dumps(function(item)))

    monkeypatch.setattr(converted, "map_in_processes", convert_each)


@pytest.fixture(scope="session")
def union() -> Callable[..., np.ndarray]:
    """The truth of polygons by pycocotools alone."""

    def draw(polygons: Sequence, height: int = 30, width: int = 40) -> np.ndarray:
        outlines = [np.asarray(polygon, float).ravel().tolist() for polygon in polygons]
        return coco.decode(coco.merge(coco.frPyObjects(outlines, height, width)))

    return draw


@pytest.fixture(scope="session")
def officially_read() -> Callable[[Path, str], dict[str, dict[str, np.ndarray]]]:
    """Read a tree as the official loader does (pickle, JSON, polygons or RLEs): file_name -> phrase -> mask."""

    def read_tree(root: Path, split: str) -> dict[str, dict[str, np.ndarray]]:
        refs = pickle.loads((root / "ref_seg/refcoco/refs(unc).p").read_bytes())
        instances = json.loads((root / "ref_seg/refcoco/instances.json").read_text())
        images = {image["id"]: image for image in instances["images"]}
        annotations = {annotation["id"]: annotation for annotation in instances["annotations"]}
        read = {}
        for ref in refs:
            if split not in ref["split"]:
                continue
            image = images[ref["image_id"]]
            segmentation = annotations[ref["ann_id"]]["segmentation"]
            rles = (
                coco.frPyObjects(segmentation, image["height"], image["width"])
                if isinstance(segmentation[0], list)
                else segmentation
            )
            mask = np.zeros((image["height"], image["width"]), np.uint8)
            for rle in rles:
                mask += coco.decode(rle)  # as integers: what overlaps becomes 2
            for sentence in ref["sentences"]:
                assert sentence["sent_id"] in ref["sent_ids"]
                read.setdefault(image["file_name"], {})[sentence["sent"]] = mask
        for name in read:
            assert (root / "glamm_data/images/coco2014/train2014" / name).is_file()
        return read

    return read_tree


@pytest.fixture(scope="session")
def bytes_of() -> Callable[[Path], dict[str, bytes]]:
    """The files of a tree."""

    def read_files(tree: Path) -> dict[str, bytes]:
        paths = sorted(path for path in tree.rglob("*") if path.is_file())
        return {str(path.relative_to(tree)): path.read_bytes() for path in paths}

    return read_files
