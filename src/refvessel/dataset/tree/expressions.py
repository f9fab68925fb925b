"""The official tree: RefCOCO's files as the official loader expects them, and the expressions in them.

ref_seg/refcoco/instances.json                COCO: images, annotations, categories; ours: patient, ignore, spacing
ref_seg/refcoco/refs(unc).p                   one ref a phrase an image
glamm_data/images/coco2014/train2014/         images, by the `file_name` of instances.json
dataset.json                                  ours: see `convert`
outlines.npz                                  ours: see `outlines`
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from refvessel import rle
from refvessel.dataset.fields import optional_spacing, require, require_size, shown
from refvessel.dataset.problems import Problems
from refvessel.dataset.regions.segmentation import read_segmentation, read_shapes, unite
from refvessel.dataset.regions.shapes import Polygon, Runs
from refvessel.dataset.tree.refs import read_refs
from refvessel.errors import UserError
from refvessel.files import read_json

INSTANCES = Path("ref_seg/refcoco/instances.json")
REFS = Path("ref_seg/refcoco/refs(unc).p")
IMAGES = Path("glamm_data/images/coco2014/train2014")
DATASET = Path("dataset.json")


@dataclass(frozen=True)
class Expression:
    """The unit of evaluation: one image, one phrase, one truth mask."""

    image_id: str  # stem of the image's file name
    ref_id: int
    sent_id: int
    phrase: str
    patient: str  # the image_id in trees that know no patients
    height: int
    width: int
    truth: rle.RLE
    image_path: Path
    ignore_mask: rle.RLE | None = None  # pixels that no score looks at, as out of the field of view
    spacing: tuple[float, float] | None = None  # millimetres a pixel: between rows, between columns
    patient_stated: bool = True  # False: the tree knows no patients


Annotated = tuple[Expression, tuple[Polygon | Runs, ...]]  # an expression and the shapes of its truth


def read_expressions(root: Path, split: str) -> list[Expression]:
    """The expressions of one split, ordered by sent_id, one a sentence.

    `split` selects as the official loader does: `test` takes every split with `test` in its name; `testA`,
    `testB` and `testC` take theirs or, where none is called so, every split with that letter; any other name takes
    the split of this name. Raises UserError where the tree is damaged, an image is absent or the split is empty.
    """
    root = Path(root)
    refs = _refs_by_split(root)
    selected = selected_splits(split, set(refs))
    if not selected:
        raise UserError(f"{root / REFS} has no split {split!r}; choose one of: {', '.join(sorted(refs))}.")
    problems = Problems()
    annotated = _annotated(root, [ref for name in selected for ref in refs[name]], _instances(root), problems)
    problems.raise_any()
    return [expression for expression, _ in annotated]


def read_splits(root: Path, problems: Problems) -> dict[str, list[Annotated]]:
    """The expressions of every split by its name, with the shapes of their truths; reports damaged refs.

    Raises UserError where a file of the tree cannot be read at all.
    """
    root = Path(root)
    instances = _instances(root)
    return {
        split: _annotated(root, refs, instances, problems)
        for split, refs in sorted(_refs_by_split(root).items())
    }


def _refs_by_split(root: Path) -> dict[str, list[tuple[int, Mapping]]]:
    """Split -> refs with their position in the file."""
    refs: dict[str, list[tuple[int, Mapping]]] = {}
    for number, ref in enumerate(read_refs(root / REFS)):
        split = require(ref, "split", str, f"{root / REFS}: ref {number}")
        refs.setdefault(split, []).append((number, ref))
    return refs


@dataclass(frozen=True)
class _Instances:
    """`instances.json`: its entries by their ids."""

    images: dict[int, Mapping[str, Any]]
    annotations: dict[int, Mapping[str, Any]]


def _instances(root: Path) -> _Instances:
    content = read_json(root / INSTANCES)
    return _Instances(
        _by_id(content, "images", root / INSTANCES), _by_id(content, "annotations", root / INSTANCES)
    )


def _annotated(
    root: Path, refs: list[tuple[int, Mapping]], instances: _Instances, problems: Problems
) -> list[Annotated]:
    annotated: list[Annotated] = []
    for number, ref in refs:
        with problems.collect():
            annotated += _expressions_of(root, ref, instances, f"{root / REFS}: ref {number}")
    with problems.collect():
        _require_distinct([expression for expression, _ in annotated], root)
    return sorted(annotated, key=lambda item: item[0].sent_id)


def selected_splits(split: str, names: set[str]) -> set[str]:
    """Those of the splits `names` that an evaluation of `split` takes, as the official loader does."""
    if split == "test":
        return {name for name in names if "test" in name}
    if split in ("testA", "testB", "testC") and split not in names:
        return {name for name in names if split[-1] in name}
    return names & {split}


def _by_id(instances: Any, key: str, path: Path) -> dict[int, Mapping[str, Any]]:
    entries: dict[int, Mapping[str, Any]] = {}
    for number, entry in enumerate(require(instances, key, list, str(path))):
        identifier = require(entry, "id", int, f"{path}: {key} {number}")
        if identifier in entries:
            raise UserError(f"{path} has the id {identifier} twice in its {key}; number them anew.")
        entries[identifier] = entry
    return entries


def _expressions_of(root: Path, ref: Mapping, instances: _Instances, where: str) -> Iterator[Annotated]:
    image = instances.images.get(require(ref, "image_id", int, where))
    if image is None:
        raise UserError(f"{where}: {INSTANCES.name} has no image {ref['image_id']}; replace both files.")
    at_image = f"{root / INSTANCES}: image {image['id']}"
    width, height = require_size(image, "width", "height", at_image)
    image_path = _image_path(root, require(image, "file_name", str, at_image), at_image)
    shapes = _shapes(ref, instances.annotations, height, width, where)
    truth = unite(shapes, height, width, where)
    ignore = image.get("ignore")
    if ignore is not None:
        what = f"{at_image}: its field 'ignore'"
        ignore = read_segmentation(ignore, height, width, what)
    spacing = optional_spacing(image, "spacing", at_image)
    for sentence in require(ref, "sentences", list, where):
        phrase = require(sentence, "sent", str, where)
        if not phrase.strip():
            raise UserError(f"{where} has a sentence without text; add the phrase to its field 'sent'.")
        expression = Expression(
            image_id=image_path.stem,
            ref_id=require(ref, "ref_id", int, where),
            sent_id=require(sentence, "sent_id", int, where),
            phrase=phrase,
            patient=require(image, "patient", str, at_image) if "patient" in image else image_path.stem,
            patient_stated="patient" in image,
            height=height,
            width=width,
            truth=truth,
            image_path=image_path,
            ignore_mask=ignore,
            spacing=spacing,
        )
        yield expression, shapes


def _image_path(root: Path, name: str, where: str) -> Path:
    # Foreign trees may spread images over folders and link to them, so the name is judged and not its target.
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\0" in name:
        raise UserError(f"{where}: file_name {name!r:.200} leads out of {root / IMAGES}; correct it.")
    path = root / IMAGES / name
    if not os.path.isfile(path):  # noqa: PTH113 (which also knows names that are too long to be one)
        raise UserError(f"{where}: {path} does not exist; put the image there.")
    return path


def _shapes(
    ref: Mapping, annotations: dict, height: int, width: int, where: str
) -> tuple[Polygon | Runs, ...]:
    """Those of the ref's annotations: `ann_id` is one number or, in trees of others, a list of them."""
    ids = ref["ann_id"] if isinstance(ref.get("ann_id"), list) else [require(ref, "ann_id", int, where)]
    shapes: tuple[Polygon | Runs, ...] = ()
    for annotation_id in _distinct(ids):
        annotation = annotations.get(annotation_id) if isinstance(annotation_id, int) else None
        if annotation is None:
            raise UserError(
                f"{where}: {INSTANCES.name} lacks annotation {shown(annotation_id)}; replace both files."
            )
        what = f"{where}: annotation {annotation_id}"
        shapes += read_shapes(annotation.get("segmentation"), height, width, what)
    return shapes


def _distinct(ids: list[Any]) -> list[Any]:
    """Each number once: what is named a thousand times is not drawn a thousand times."""
    others = [each for each in ids if not isinstance(each, int)]
    return [*dict.fromkeys(each for each in ids if isinstance(each, int)), *others]


def _require_distinct(expressions: list[Expression], root: Path) -> None:
    """Predictions are found again by sent_id and shown by image_id: neither may be ambiguous."""
    sentences, paths = set(), {}
    for expression in expressions:
        if expression.sent_id in sentences:
            raise UserError(
                f"{root / REFS} has the sent_id {expression.sent_id} twice; number the sentences anew."
            )
        sentences.add(expression.sent_id)
        if paths.setdefault(expression.image_id, expression.image_path) != expression.image_path:
            raise UserError(f"{root / INSTANCES} has two images called {expression.image_id!r}; rename one.")
