"""COCO: JSON files with images, annotations and categories; the category's name is the label.

By default `annotations.json` with the images in `images/`. The path of the annotations may be a template (see
`templates`), whose fields the folder of the images may use. Segmentations are polygons and run lengths,
compressed or not; crowds are regions like others, and counted.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from refvessel.dataset.fields import of_kind, require, require_size
from refvessel.dataset.polygons import as_polygon
from refvessel.dataset.problems import Problems
from refvessel.dataset.readers.records import Record, locate, not_annotated, visible_files
from refvessel.dataset.readers.templates import PathTemplate
from refvessel.dataset.segmentation import read_run_lengths
from refvessel.dataset.shapes import Polygon, Region, Runs, Shape
from refvessel.errors import UserError
from refvessel.files import read_json


def read(
    root: Path,
    problems: Problems,
    *,
    annotations: str = "annotations.json",
    images: str = "images",
    patient: str | None = None,
    splits: Mapping[str, str] | None = None,
) -> Iterator[Record]:
    """Yield a record for every image of every annotation file, then one for every image that no file lists.

    `patient` is a template of the annotations' fields and `{name}`, the image's name without suffix. A field
    `{split}` is the split, translated by `splits` where that is given.
    """
    template, folders = PathTemplate(annotations, "annotations"), PathTemplate(images, "images")
    patients = None if patient is None else PathTemplate(patient, "patient")
    found = [
        (path, fields)
        for path in visible_files(root, frozenset({".json"}))
        if (fields := template.match(path.relative_to(root).as_posix())) is not None
    ]
    if not found:
        raise UserError(f"{root} has no {annotations}; put the file there or set the option annotations.")
    annotated = set()
    for path, fields in found:
        file = _File(root, path, root / folders.fill(fields, "images"), named_by_root=bool(template.fields))
        for record in file.records(problems):
            with problems.collect():
                annotated.add(record.path)
                name = {"name": Path(record.name).stem}
                split = fields.get("split")
                if split is not None and splits is not None:
                    split = require(splits, split, str, "The option splits")
                yield replace(
                    record,
                    patient=None if patients is None else patients.fill(fields | name, "patient"),
                    split=split,
                )
    yield from not_annotated(root, annotated)


@dataclass(frozen=True)
class _File:
    """One annotation file and the folder of its images."""

    root: Path
    path: Path
    images: Path
    named_by_root: bool  # with several files, an image's name needs the folders above

    def records(self, problems: Problems) -> Iterator[Record]:
        """A record for every entry of `images`; what is wrong with the rest goes to `problems`."""
        content = read_json(
            locate(self.root, self.root, str(self.path.relative_to(self.root)), f"{self.root}:")
        )
        categories = {
            require(category, "id", int, f"{self.path}: category {number}"): require(
                category, "name", str, f"{self.path}: category {number}"
            )
            for number, category in enumerate(require(content, "categories", list, str(self.path)), start=1)
        }
        entries: dict[int, tuple[dict, list[Region], int]] = {}
        for number, entry in enumerate(require(content, "images", list, str(self.path)), start=1):
            with problems.collect():
                identifier = require(entry, "id", int, f"{self.path}: image {number}")
                if identifier in entries:
                    raise UserError(f"{self.path} has two images of the id {identifier}; number them anew.")
                entries[identifier] = (entry, [], 0)
        for number, annotation in enumerate(require(content, "annotations", list, str(self.path)), start=1):
            with problems.collect():
                where = f"{self.path}: annotation {number}"
                identifier = require(annotation, "image_id", int, where)
                if identifier not in entries:
                    raise UserError(
                        f"{where} is of image {identifier}, which is not listed; remove or list it."
                    )
                entry, regions, crowds = entries[identifier]
                where += f" (of {entry.get('file_name')})"
                width, height = require_size(entry, "width", "height", where)
                regions.append(_region(annotation, categories, height, width, where))
                entries[identifier] = (entry, regions, crowds + (annotation.get("iscrowd") == 1))
        for identifier, (entry, regions, crowds) in entries.items():
            with problems.collect():
                yield self._record(entry, regions, crowds, f"{self.path}: image {identifier}")

    def _record(self, entry: Mapping, regions: list[Region], crowds: int, where: str) -> Record:
        file_name = require(entry, "file_name", str, where)
        image = locate(self.root, self.images, file_name, f"{where}: file_name")
        if not image.is_file():
            raise UserError(f"{where}: {self.images / file_name} does not exist; put the image there.")
        base = self.root.resolve() if self.named_by_root else self.images.resolve()
        return Record(
            name=image.relative_to(base if image.is_relative_to(base) else self.root.resolve()).as_posix(),
            path=image,
            annotation=self.path,
            where=where,
            regions=tuple(regions),
            stated_size=require_size(entry, "width", "height", where),
            counts={"regions_crowd": crowds},
        )


def _region(
    annotation: Mapping, categories: Mapping[int, str], height: int, width: int, where: str
) -> Region:
    category = require(annotation, "category_id", int, where)
    if category not in categories:
        raise UserError(f"{where} is of category {category}, which is not listed; list or correct it.")
    segmentation = annotation.get("segmentation")
    shapes: tuple[Shape, ...]
    if isinstance(segmentation, dict):
        shapes = (Runs(read_run_lengths(segmentation, height, width, where)),)
    else:
        parts = of_kind(segmentation, list, f"{where}: its segmentation")
        shapes = tuple(Polygon(as_polygon(part, where)) for part in parts)
    if not shapes:
        raise UserError(f"{where} has a segmentation without polygons; draw or remove it.")
    return Region(_name(categories[category], where), shapes, where)


def _name(category: Any, where: str) -> str:
    if not category.strip():
        raise UserError(f"{where} is of a category without a name; name what it shows.")
    return category.strip()
