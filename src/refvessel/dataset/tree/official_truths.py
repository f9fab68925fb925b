"""How the official loader (REFER and Sa2VA's RESDataset) reads a tree, where that is not as we read it."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco

from refvessel import rle
from refvessel.dataset.regions.segmentation import read_shapes
from refvessel.dataset.regions.shapes import Page, Polygon, Runs
from refvessel.dataset.tree import entries
from refvessel.dataset.tree.expressions import Expression

_BY_LETTER = ("testA", "testB", "testC")
_BY_NAME = ("train", "val", "testAB", "testBC", "testAC")


def official_splits(split: str, names: Collection[str]) -> set[str] | None:
    """The splits of a tree that the official loader takes for `split`; None where it knows no such name.

    `test` takes every name with `test` in it, `testA` every name with an `A`.
    """
    if split in _BY_LETTER:
        return {name for name in names if split[-1] in name}
    if split == "test":
        return {name for name in names if "test" in name}
    return {split} & set(names) if split in _BY_NAME else None


def official_count(
    refs: Sequence[Mapping[str, Any]], split: str, phrases: Collection[str] | None = None
) -> int | None:
    """How many expressions the official loader takes for `split`; None where it knows no such name.

    Args:
        refs: those of the tree.
        split: its name.
        phrases: those that are counted; None: all.
    """
    counts: Counter[str] = Counter()
    for number, ref in enumerate(refs):
        counts[entries.split_of(ref, f"ref {number}")] += (
            entries.count_sentences(ref)
            if phrases is None
            else sum(phrase in phrases for _, phrase in entries.sentences_of(ref, "a ref"))
        )
    selected = official_splits(split, set(counts))
    return None if selected is None else sum(counts[name] for name in selected)


def official_truths(
    expressions: Iterable[Expression],
    refs: Iterable[Mapping[str, Any]],
    annotations: Mapping[int, Mapping[str, Any]],
) -> dict[int, rle.RLE]:
    """By sent_id, the truths that the official evaluator scores against, where they are not the expressions' own.

    It decodes one annotation per ref. Refs with a list of them, which it cannot read, are left out.

    Args:
        expressions: of one split.
        refs: those of the tree.
        annotations: those of the tree by id.
    """
    annotation_ids = dict(entries.stated_annotation(ref) for ref in refs)
    truths: dict[int, rle.RLE] = {}
    drawn: dict[int, rle.RLE | None] = {}  # by ref_id: one truth has several sentences
    for each in expressions:
        if each.ref_id not in drawn:
            annotation_id = annotation_ids[each.ref_id]
            known = not isinstance(annotation_id, list) and annotation_id in annotations
            parts = entries.segmentation_of(annotations[annotation_id]) if known else None
            drawn[each.ref_id] = (
                added_up(parts, each.height, each.width)
                if isinstance(parts, list) and len(parts) > 1
                else None
            )
        official = drawn[each.ref_id]
        if official is not None and official != each.truth:
            truths[each.sent_id] = official
    return truths


def added_up(segmentation: Sequence[Any], height: int, width: int) -> rle.RLE:
    """The truth that the official evaluator makes of an annotation of several parts.

    Its loader adds the decoded parts up, and the run-length encoder starts a new run wherever the sum changes, be
    it from 1 to 2: where parts overlap there are holes, and what lies beyond may be swapped with the background.
    """
    shapes = read_shapes(segmentation, height, width, "segmentation")
    return runs_of_values(sum_of(shapes, height, width, "segmentation"))


def sum_of(shapes: Iterable[Polygon | Runs], height: int, width: int, where: str) -> np.ndarray:
    """How many of the shapes lie on each pixel, uint8 (height, width); raises UserError where one lies outside."""
    page = Page((width, height), (width, height), where, crossings=False)
    total = np.zeros((height, width), np.uint8)
    for shape in shapes:
        total += rle.decode(shape.draw(page).mask)
    return total


def runs_of_values(values: np.ndarray) -> rle.RLE:
    """What the official run-length encoder makes of a uint8 array: a new run wherever the value changes."""
    return rle.as_text(coco.encode(np.asfortranarray(values)))
