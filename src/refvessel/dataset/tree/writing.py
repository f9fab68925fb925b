"""Writing the official tree: the same input gives the same bytes."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, repeat
from pathlib import Path
from typing import IO, Any

from pycocotools import mask as coco

from refvessel import rle
from refvessel.dataset.regions.polygons import Outlines
from refvessel.dataset.tree.expressions import INSTANCES, REFS
from refvessel.dataset.tree.outlines import OUTLINES, outlines_file
from refvessel.dataset.tree.refs import write_refs

_Add = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True)
class TreeImage:
    """One image of a tree and its truths: by phrase, a mask an expression."""

    image_id: str
    patient: str
    split: str
    width: int
    height: int
    truths: dict[str, list[rle.RLE]]
    ignore: rle.RLE | None = None
    spacing: tuple[float, float] | None = None  # millimetres a pixel: between rows, between columns
    outlines: dict[str, list[Outlines]] = field(default_factory=dict)  # of truths drawn from polygons alone
    suffix: str = ".png"  # of the image's file, which is called `<image_id><suffix>`


def write_tree(root: Path, images: Iterable[TreeImage], phrases: Sequence[str]) -> None:
    """Write `instances.json`, `refs(unc).p` and `outlines.npz` for images in the order of image_id.

    Identifiers count from 1 in this order and, within an image, of `phrases`. The truths of one image at a time
    are in memory.
    """
    categories = {phrase: number for number, phrase in enumerate(phrases, start=1)}
    refs: list[dict[str, Any]] = []
    (root / INSTANCES).parent.mkdir(parents=True, exist_ok=True)
    with (
        _instances(root / INSTANCES, categories) as (add_image, add_annotation),
        outlines_file(root / OUTLINES) as add_outlines,
    ):
        for image_number, image in enumerate(images, start=1):
            add_image(_image(image_number, image))
            for phrase in phrases:
                first = len(refs) + 1
                for number, outlines in enumerate(image.outlines.get(phrase, []), first):
                    add_outlines(number, outlines)
                for number, truth in enumerate(image.truths.get(phrase, []), first):
                    category = categories[phrase]
                    add_annotation(_annotation(number, image_number, category, truth))
                    refs.append(_ref(number, image_number, category, image, phrase))
    write_refs(root / REFS, refs)


@contextmanager
def _instances(path: Path, categories: Mapping[str, int]) -> Iterator[tuple[_Add, _Add]]:
    """Functions that add an image and an annotation to the file at `path`."""
    listed = [{"id": number, "name": phrase, "supercategory": ""} for phrase, number in categories.items()]
    with (
        path.open("w", encoding="utf-8") as stream,
        tempfile.TemporaryFile("w+", encoding="utf-8", dir=path.parent) as annotations,
    ):
        stream.write('{"images": [')
        yield _items_of(stream), _items_of(annotations)
        stream.write('], "annotations": [')
        annotations.seek(0)
        shutil.copyfileobj(annotations, stream)
        stream.write(f'], "categories": {json.dumps(listed, ensure_ascii=False)}}}\n')


def _items_of(stream: IO[str]) -> _Add:
    """A function that adds an item to a JSON list whose bracket is open."""
    separators = chain([""], repeat(", "))
    return lambda item: stream.write(next(separators) + json.dumps(item, ensure_ascii=False))


def _image(number: int, image: TreeImage) -> dict[str, Any]:
    described: dict[str, Any] = {
        "id": number,
        "file_name": image.image_id + image.suffix,
        "width": image.width,
        "height": image.height,
        "patient": image.patient,
    }
    if image.ignore is not None:
        described["ignore"] = image.ignore
    if image.spacing is not None:
        described["spacing"] = list(image.spacing)
    return described


def _annotation(number: int, image_number: int, category: int, truth: rle.RLE) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": image_number,
        "category_id": category,
        "segmentation": [truth],  # in a list: the official loader indexes it
        "area": rle.area(truth),
        "bbox": coco.toBbox(truth).tolist(),  # x, y, width, height
        "iscrowd": 0,
        "ignore": 0,
    }


def _ref(number: int, image_number: int, category: int, image: TreeImage, phrase: str) -> dict[str, Any]:
    """The ref of the annotation of the same number, with one sentence of this number too."""
    return {
        "ref_id": number,
        "ann_id": number,
        "category_id": category,
        "image_id": image_number,
        "split": image.split,
        "file_name": image.image_id + image.suffix,
        "sent_ids": [number],
        "sentences": [{"sent_id": number, "sent": phrase, "raw": phrase, "tokens": phrase.split()}],
    }
