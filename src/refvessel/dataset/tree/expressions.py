"""The expressions of an official tree: what its files say, each parsed once."""

import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from refvessel import rle
from refvessel.dataset.problems import Problems
from refvessel.dataset.regions.segmentation import read_shapes, unite
from refvessel.dataset.regions.shapes import Polygon, Runs
from refvessel.dataset.tree import entries
from refvessel.dataset.tree.layout import IMAGES, INSTANCES, REFS
from refvessel.dataset.tree.refs import read_refs, stored_refs
from refvessel.dataset.tree.stored_entries import is_large, stored_instances
from refvessel.errors import UserError
from refvessel.files import read_json


@dataclass(frozen=True)
class Sentence:
    """What is asked of a model: one phrase about one image."""

    image_id: str  # stem of the image's file name
    ref_id: int
    sent_id: int
    phrase: str
    height: int
    width: int
    image_path: Path


@dataclass(frozen=True)
class Expression(Sentence):
    """The unit of evaluation: one image, one phrase, one truth mask."""

    patient: str  # the image_id in trees that know no patients
    truth: rle.RLE
    ignore_mask: rle.RLE | None = None  # pixels that no score looks at, as out of the field of view
    spacing: tuple[float, float] | None = None  # millimetres per pixel: between rows, between columns
    patient_stated: bool = True  # False: the tree knows no patients


Shapes = tuple[Polygon | Runs, ...]
Annotated = tuple[Expression, Shapes]  # an expression and the shapes of its truth

_MOST_CHECKED = 1 << 16  # images of which it is remembered that they are there


@dataclass(frozen=True)
class Tree:
    """The parsed files of an official tree; what an entry says is checked where it is read."""

    root: Path
    refs: Sequence[Any]  # of `refs(unc).p`, in its order
    instances: Any  # `instances.json`; of a large one what is neither images nor annotations
    images: Mapping[int, Mapping[str, Any]]  # its entries by id
    annotations: Mapping[int, Mapping[str, Any]]  # its entries by id
    _checked: dict[int, tuple[entries.ImageEntry, Path]] = field(default_factory=dict)

    def expressions(self, split: str) -> list[Expression]:
        """What `read_expressions` returns and raises."""
        return self.expressions_at(self.refs_of(split))

    def expressions_of(self, splits: Collection[str]) -> list[Expression]:
        """The expressions of all of these splits together, ordered by sent_id; raises as `expressions` does."""
        by_split = self._refs_by_split()
        return self.expressions_at([ref for name in splits for ref in by_split.get(name, ())])

    def split_names(self) -> set[str]:
        """The names of all splits."""
        return set(self._refs_by_split())

    def sentences(self, split: str) -> list[Sentence]:
        """What `read_sentences` returns and raises."""
        problems = Problems()
        found: list[Sentence] = []
        for number in self.refs_of(split):
            with problems.collect():
                found += self.sentences_at(number)
        with problems.collect():
            _require_distinct(found, self.root)
        problems.raise_any()
        return sorted(found, key=lambda each: each.sent_id)

    def annotated_by_split(self, problems: Problems) -> dict[str, list[Annotated]]:
        """The expressions of each split by its name, with the shapes of their truths; reports damaged refs."""
        by_split = sorted(self._refs_by_split().items())
        return {split: self._annotated(refs, problems) for split, refs in by_split}

    def coco_ids(self, refs: Iterable[int] | None = None) -> dict[int, tuple[int, int]]:
        """The ids of image and category in `instances.json` by ref_id, of all refs or those at some positions.

        Raises UserError where a ref lacks one.
        """
        ids = {}
        for number in range(len(self.refs)) if refs is None else refs:
            ref, where = self.refs[number], self._at_ref(number)
            ref_id, image_id = entries.ids_of(ref, where)
            ids[ref_id] = (image_id, entries.category_of(ref, where))
        return ids

    def refs_of(self, split: str) -> list[int]:
        """Positions of the refs that an evaluation of `split` takes; raises UserError where there is none."""
        by_split = self._refs_by_split()
        selected = selected_splits(split, set(by_split))
        if not selected:
            known = ", ".join(sorted(by_split))
            raise UserError(f"{self.root / REFS} has no split {split!r}; choose one of: {known}.")
        return [ref for name in selected for ref in by_split[name]]

    def expressions_at(self, refs: Iterable[int]) -> list[Expression]:
        """The expressions of the refs at these positions, ordered by sent_id; raises as `expressions` does."""
        problems = Problems()
        annotated = self._annotated(refs, problems)
        problems.raise_any()
        return [expression for expression, _ in annotated]

    def sentences_at(self, number: int) -> list[Sentence]:
        """Those of the ref at this position; raises UserError where it is damaged."""
        return list(self._sentences_of(self.refs[number], self._at_ref(number)))

    def spacing_at(self, number: int) -> tuple[float, float] | None:
        """That of the image of the ref at this position; raises UserError where it is damaged."""
        image, _ = self._image_of(self.refs[number], self._at_ref(number))
        return image.spacing

    def category_names(self) -> dict[int, str]:
        """The names of the categories by their ids; raises UserError where one lacks either."""
        return entries.category_names(self.instances, str(self.root / INSTANCES))

    def _at_ref(self, number: int) -> str:
        return f"{self.root / REFS}: ref {number}"

    def _refs_by_split(self) -> dict[str, list[int]]:
        """Split -> positions of its refs in the file."""
        by_split: dict[str, list[int]] = {}
        for number, ref in enumerate(self.refs):
            by_split.setdefault(entries.split_of(ref, self._at_ref(number)), []).append(number)
        return by_split

    def _annotated(self, refs: Iterable[int], problems: Problems) -> list[Annotated]:
        """The expressions of the refs at these positions, ordered by sent_id."""
        annotated: list[Annotated] = []
        for number in refs:
            with problems.collect():
                annotated += self._expressions_of(self.refs[number], self._at_ref(number))
        with problems.collect():
            _require_distinct([expression for expression, _ in annotated], self.root)
        return sorted(annotated, key=lambda item: item[0].sent_id)

    def _expressions_of(self, ref: Mapping[str, Any], where: str) -> Iterator[Annotated]:
        image, image_path = self._image_of(ref, where)
        shapes: Shapes = ()
        for number, annotation in entries.annotations_of(ref, self.annotations, where).items():
            segmentation = entries.segmentation_of(annotation)
            shapes += read_shapes(segmentation, image.height, image.width, f"{where}: annotation {number}")
        truth = unite(shapes, image.height, image.width, where)
        for sentence in self._sentences_of(ref, where):
            expression = Expression(
                **vars(sentence),
                patient=image_path.stem if image.patient is None else image.patient,
                patient_stated=image.patient is not None,
                truth=truth,
                ignore_mask=image.ignore,
                spacing=image.spacing,
            )
            yield expression, shapes

    def _sentences_of(self, ref: Mapping[str, Any], where: str) -> Iterator[Sentence]:
        image, image_path = self._image_of(ref, where)
        ref_id, _ = entries.ids_of(ref, where)
        for sent_id, phrase in entries.sentences_of(ref, where):
            yield Sentence(
                image_id=image_path.stem,
                ref_id=ref_id,
                sent_id=sent_id,
                phrase=sys.intern(phrase),  # of the same few words, a million times
                height=image.height,
                width=image.width,
                image_path=image_path,
            )

    def _image_of(self, ref: Mapping[str, Any], where: str) -> tuple[entries.ImageEntry, Path]:
        """The entry and the file of a ref's image, checked once however many refs are of it."""
        _, image_id = entries.ids_of(ref, where)
        if image_id not in self.images:
            raise UserError(f"{where}: {INSTANCES.name} has no image {image_id}; replace both files.")
        if image_id not in self._checked:
            if len(self._checked) >= _MOST_CHECKED:
                self._checked.clear()
            where = f"{self.root / INSTANCES}: image {image_id}"
            image = entries.ImageEntry.read(self.images[image_id], where)
            self._checked[image_id] = image, _image_path(self.root, image.file_name, where)
        return self._checked[image_id]


def read_tree(root: Path) -> Tree:
    """The files of the tree at `root`; raises UserError where one cannot be read at all."""
    root = Path(root)
    refs = stored_refs(root / REFS) if is_large(root / REFS) else read_refs(root / REFS)
    if is_large(root / INSTANCES) and (stored := stored_instances(root / INSTANCES)):
        return Tree(root, refs, *stored)
    instances = read_json(root / INSTANCES)
    where = str(root / INSTANCES)
    images = entries.entries_by_id(instances, entries.IMAGES, where)
    return Tree(root, refs, instances, images, entries.entries_by_id(instances, entries.ANNOTATIONS, where))


def read_expressions(root: Path, split: str) -> list[Expression]:
    """The expressions of one split, ordered by sent_id, one per sentence.

    `split` selects as the official loader does: `test` takes every split with `test` in its name; `testA`,
    `testB` and `testC` take theirs or, where none is called so, every split with that letter; any other name takes
    the split of this name. Raises UserError where the tree is damaged, an image is absent or the split is empty.
    """
    return read_tree(root).expressions(split)


def read_sentences(root: Path, split: str) -> list[Sentence]:
    """What `read_expressions` gives, without the truths, which are not read: several times faster."""
    return read_tree(root).sentences(split)


def selected_splits(split: str, names: set[str]) -> set[str]:
    """Those of the splits `names` that an evaluation of `split` takes, as the official loader does."""
    if split == "test":
        return {name for name in names if "test" in name}
    if split in ("testA", "testB", "testC") and split not in names:
        return {name for name in names if split[-1] in name}
    return names & {split}


def _image_path(root: Path, name: str, where: str) -> Path:
    # Foreign trees may spread images over folders and link to them, so the name is judged and not its target.
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\0" in name:
        raise UserError(f"{where}: file_name {name!r:.200} leads out of {root / IMAGES}; correct it.")
    path = root / IMAGES / name
    if not os.path.isfile(path):  # noqa: PTH113 (which also knows names that are too long to be one)
        raise UserError(f"{where}: {path} does not exist; put the image there.")
    return path


def _require_distinct(expressions: Sequence[Sentence], root: Path) -> None:
    """Predictions are found again by sent_id and shown by image_id: neither may be ambiguous."""
    sentences: set[int] = set()
    paths: dict[str, Path] = {}
    for expression in expressions:
        if expression.sent_id in sentences:
            raise UserError(
                f"{root / REFS} has the sent_id {expression.sent_id} twice; number the sentences anew."
            )
        sentences.add(expression.sent_id)
        if paths.setdefault(expression.image_id, expression.image_path) != expression.image_path:
            raise UserError(f"{root / INSTANCES} has two images called {expression.image_id!r}; rename one.")
