"""The expressions of RefCOCO and gRefCOCO as the official evaluator takes them, in its order, with its truths."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from refvessel import rle
from refvessel.dataset.fields import require_size, shown
from refvessel.dataset.problems import Problems
from refvessel.dataset.regions.segmentation import read_shapes, unite
from refvessel.dataset.regions.shapes import Polygon, Runs
from refvessel.dataset.tree import entries
from refvessel.dataset.tree.layout import GREF_INSTANCES, GREFS, INSTANCES, REFS
from refvessel.dataset.tree.official_truths import official_splits, runs_of_values, sum_of
from refvessel.dataset.tree.refs import read_pickle, read_refs, require_refs
from refvessel.errors import UserError
from refvessel.files import read_json

NO_TARGET = -1  # gRefCOCO's annotation id for an expression that names nothing in the image


@dataclass(frozen=True)
class OfficialExpression:
    """An expression and its two truths, of one size."""

    image_id: int  # in instances.json
    ref_id: int
    sent_id: int
    phrase: str
    truth: rle.RLE  # that the official evaluator scores against
    union: rle.RLE  # of all parts of its annotations: the right one


@dataclass(frozen=True)
class _Source:
    """Where a benchmark's files lie, and how its loader makes a truth."""

    instances: Path
    read: Callable[[Path], tuple[list[Any], Path]]  # root -> refs, and their file
    several: bool  # whether a ref may have several annotations, or none


def _read_refcoco(root: Path) -> tuple[list[Any], Path]:
    return read_refs(root / REFS), root / REFS


def _read_grefcoco(root: Path) -> tuple[list[Any], Path]:
    """The pickle is preferred, as the official loader does."""
    pickled, plain = root / GREFS, (root / GREFS).with_suffix(".json")
    if pickled.is_file() or not plain.is_file():
        return require_refs(read_pickle(pickled), pickled), pickled
    return require_refs(read_json(plain), plain), plain


_SOURCES = {
    "refcoco": _Source(INSTANCES, _read_refcoco, several=False),
    "grefcoco": _Source(GREF_INSTANCES, _read_grefcoco, several=True),
}


def official_expressions(root: Path, benchmark: str, split: str) -> list[OfficialExpression]:
    """What the official evaluator of `refcoco` or `grefcoco` asks of a split, image by image.

    Raises UserError where a file is damaged or the official loader takes no ref for the split.
    """
    source = _SOURCES[benchmark]
    refs, path = source.read(root)
    where = str(root / source.instances)
    instances = read_json(root / source.instances)
    images = entries.entries_by_id(instances, entries.IMAGES, where)
    annotations = entries.entries_by_id(instances, entries.ANNOTATIONS, where)
    problems = Problems()
    by_image: dict[int, list[OfficialExpression]] = {}
    for number in _selected(refs, split, path):
        with problems.collect():
            ref, at_ref = refs[number], f"{path}: ref {number}"
            ref_id, image_id = entries.ids_of(ref, at_ref)
            if image_id not in images:
                raise UserError(
                    f"{at_ref}: {source.instances.name} has no image {image_id}; replace both files."
                )
            width, height = require_size(images[image_id], "width", "height", f"{where}: image {image_id}")
            targets = _targets(ref, annotations, at_ref, several=source.several)
            truth, union = _truths(targets, height, width, at_ref)
            by_image.setdefault(image_id, []).extend(
                OfficialExpression(image_id, ref_id, sent_id, phrase, truth, union)
                for sent_id, phrase in entries.sentences_of(ref, at_ref)
            )
    problems.raise_any()
    # The official loader walks through a set that grew image by image, which the set of a dict does not: its
    # sums of float32 depend on that order.
    in_order = set(iter(by_image))
    return [each for image_id in in_order for each in by_image[image_id]]


def _selected(refs: Sequence[Any], split: str, path: Path) -> list[int]:
    """Positions of the refs that the official loader takes for a split."""
    splits = [entries.split_of(ref, f"{path}: ref {number}") for number, ref in enumerate(refs)]
    known = official_splits(split, set(splits))
    found = [number for number, name in enumerate(splits) if known and name in known]
    if not found:
        raise UserError(
            f"{path} has no ref that the official loader takes for the split {split!r}; its splits are "
            f"{', '.join(sorted(set(splits))) or 'none'}."
        )
    return found


def _targets(
    ref: Mapping[str, Any], annotations: Mapping[int, Mapping[str, Any]], where: str, *, several: bool
) -> list[tuple[Any, str]]:
    """The segmentations of a ref's annotations, each with its place; crowds are no targets of gRefCOCO."""
    _, stated = entries.stated_annotation(ref)
    if not several and isinstance(stated, list):
        raise UserError(
            f"{where}: ann_id is a list, {shown(stated)}; such refs are gRefCOCO's, score them as it."
        )
    named = stated if isinstance(stated, list) else [stated]
    targets = {**ref, "ann_id": [number for number in named if not (several and number == NO_TARGET)]}
    return [
        (entries.segmentation_of(annotation), f"{where}: annotation {number}")
        for number, annotation in entries.annotations_of(targets, annotations, where).items()
        if not (several and annotation.get("iscrowd"))
    ]


def _truths(
    targets: Sequence[tuple[Any, str]], height: int, width: int, where: str
) -> tuple[rle.RLE, rle.RLE]:
    """The official truth of an expression, and the union of all its parts.

    The parts of an annotation are added up, annotations are combined by a bitwise or of these sums, and then
    the runs are those of the values: see `added_up`.
    """
    values = np.zeros((height, width), np.uint8)
    parts: list[Polygon | Runs] = []
    for segmentation, at_annotation in targets:
        shapes = read_shapes(segmentation, height, width, at_annotation)
        values |= sum_of(shapes, height, width, at_annotation)
        parts += shapes
    return runs_of_values(values), unite(parts, height, width, where)
