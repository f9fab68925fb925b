"""Small vessel data in the forms that people have."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from refvessel.dataset.convert import convert_dataset

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
        return convert_dataset(source_format=source_format, root=source.root, **arguments)

    return run
