"""Writing the official tree: the same input gives the same bytes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pycocotools import mask as coco

from refvessel import masks
from refvessel.dataset.outlines import OUTLINES, Outlines, write_outlines
from refvessel.dataset.refs import write_refs
from refvessel.dataset.tree import INSTANCES, REFS


@dataclass(frozen=True)
class TreeImage:
    """One image of a tree and its truths: by phrase, a mask an expression."""

    image_id: str
    patient: str
    split: str
    width: int
    height: int
    truths: dict[str, list[masks.RLE]]
    ignore: masks.RLE | None = None
    spacing: tuple[float, float] | None = None  # millimetres a pixel: between rows, between columns
    outlines: dict[str, list[Outlines]] = field(default_factory=dict)  # of truths drawn from polygons alone
    suffix: str = ".png"  # of the image's file, which is called `<image_id><suffix>`


def write_tree(root: Path, images: Sequence[TreeImage], phrases: Sequence[str]) -> None:
    """Write `instances.json`, `refs(unc).p` and `outlines.npz`.

    Identifiers count from 1 in the order of image_id and, within an image, of `phrases`.
    """
    categories = {phrase: number for number, phrase in enumerate(phrases, start=1)}
    coco_images, annotations, refs = [], [], []
    outlines: dict[int, Outlines] = {}
    for image_number, image in enumerate(sorted(images, key=lambda image: image.image_id), start=1):
        coco_images.append(_image(image_number, image))
        for phrase in phrases:
            first = len(refs) + 1
            outlines |= dict(enumerate(image.outlines.get(phrase, []), first))
            for number, truth in enumerate(image.truths.get(phrase, []), first):
                category = categories[phrase]
                annotations.append(_annotation(number, image_number, category, truth))
                refs.append(_ref(number, image_number, category, image, phrase))
    instances = {
        "images": coco_images,
        "annotations": annotations,
        "categories": [
            {"id": number, "name": phrase, "supercategory": ""} for phrase, number in categories.items()
        ],
    }
    (root / INSTANCES).parent.mkdir(parents=True, exist_ok=True)
    (root / INSTANCES).write_text(json.dumps(instances, ensure_ascii=False) + "\n", "utf-8")
    write_refs(root / REFS, refs)
    write_outlines(root / OUTLINES, outlines)


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


def _annotation(number: int, image_number: int, category: int, truth: masks.RLE) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": image_number,
        "category_id": category,
        "segmentation": [truth],  # in a list: the official loader indexes it
        "area": masks.area(truth),
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
