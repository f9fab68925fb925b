"""COCO: JSON files with images, annotations and categories; the category's name is the label.

By default `annotations.json` with the images in `images/`. The path of the annotations may be a template (see
`templates`), whose fields the folder of the images may use. Segmentations are polygons and run lengths,
compressed or not; crowds are regions like others, and counted.
"""

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from refvessel.dataset.fields import require, require_size
from refvessel.dataset.problems import Problems
from refvessel.dataset.readers.path_templates import PathTemplate
from refvessel.dataset.readers.records import Record, not_annotated
from refvessel.dataset.readers.source_files import locate, visible_files, visible_name
from refvessel.dataset.regions.segmentation import read_shapes
from refvessel.dataset.regions.shapes import Region
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
    left_out: Set[str] = frozenset(),
) -> Iterator[Record]:
    """Yield one record per image of every annotation file, then one per image that no file lists.

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
        folder = root / folders.fill(fields, "images")
        file = _File(root, path, folder, left_out, named_by_root=bool(template.fields))
        with problems.collect():
            for record in file.records(problems):
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


@dataclass
class _Image:
    """An entry of `images` and its annotations."""

    where: str
    file_name: str
    path: Path
    name: str  # the path below the root at which a user sees it
    size: tuple[int, int]  # (width, height)
    regions: list[Region] = field(default_factory=list)
    crowds: int = 0


@dataclass(frozen=True)
class _File:
    """One annotation file and the folder of its images."""

    root: Path
    path: Path
    images: Path
    left_out: Set[str]  # labels whose segmentations are not read
    named_by_root: bool  # with several files, an image's name needs the folders above

    def records(self, problems: Problems) -> Iterator[Record]:
        """A record for every entry of `images`; what is wrong with the rest goes to `problems`."""
        name = str(self.path.relative_to(self.root))
        content = read_json(locate(self.root, self.root, name, f"{self.root}: the file"))
        categories = self._categories(content)
        images = self._listed(content, problems)
        identifiers = set()
        for number, annotation in enumerate(require(content, "annotations", list, str(self.path)), start=1):
            with problems.collect():
                identifier = annotation.get("id") if isinstance(annotation, dict) else None
                if isinstance(identifier, int | str) and identifier in identifiers:
                    raise UserError(
                        f"{self.path} has two annotations of the id {identifier}; number them anew."
                    )
                identifiers.add(identifier if isinstance(identifier, int | str) else None)
                self._add(annotation, images, categories, f"{self.path}: annotation {number}")
        for image in images.values():
            if image is not None:
                yield self._record(image)

    def _categories(self, content: Any) -> dict[int, str]:
        categories: dict[int, str] = {}
        for number, category in enumerate(require(content, "categories", list, str(self.path)), start=1):
            identifier = require(category, "id", int, f"{self.path}: category {number}")
            if identifier in categories:
                raise UserError(f"{self.path} has two categories of the id {identifier}; number them anew.")
            categories[identifier] = require(category, "name", str, f"{self.path}: category {number}")
        return categories

    def _listed(self, content: Any, problems: Problems) -> dict[int, _Image | None]:
        """The images by their ids; None where it has been told already what is wrong with one."""
        images: dict[int, _Image | None] = {}
        for number, entry in enumerate(require(content, "images", list, str(self.path)), start=1):
            with problems.collect():
                identifier = require(entry, "id", int, f"{self.path}: image {number}")
                if identifier in images:
                    raise UserError(f"{self.path} has two images of the id {identifier}; number them anew.")
                images[identifier] = None
                images[identifier] = self._image(entry, f"{self.path}: image {identifier}")
        return images

    def _image(self, entry: Mapping[str, Any], where: str) -> _Image:
        file_name = require(entry, "file_name", str, where)
        folder, path = self.images, locate(self.root, self.images, file_name, f"{where}: file_name")
        if not path.is_file() and (self.path.parent / file_name).is_file():
            # Label Studio and others name images from the annotations' folder.
            folder = self.path.parent
            path = locate(self.root, folder, file_name, f"{where}: file_name")
        if not path.is_file():
            raise UserError(
                f"{where}: {self.images / file_name} does not exist; put the image there, or set the option "
                "images."
            )
        size = require_size(entry, "width", "height", f"{where} ({file_name})")
        return _Image(where, file_name, path, visible_name(self.root, folder, file_name), size)

    def _add(
        self, annotation: Any, images: Mapping[int, _Image | None], categories: Mapping[int, str], where: str
    ) -> None:
        identifier = require(annotation, "image_id", int, where)
        if identifier not in images:
            raise UserError(f"{where} is of image {identifier}, which is not listed; remove or list it.")
        if (image := images[identifier]) is not None:
            where += f" (of {image.file_name})"
            label = _label(annotation, categories, where)
            if label in self.left_out:
                image.regions.append(Region(label, (), where))
                return
            image.regions.append(_region(annotation, label, image.size, where))
            image.crowds += annotation.get("iscrowd") == 1

    def _record(self, image: _Image) -> Record:
        name = image.name
        if not self.named_by_root:
            name = name.removeprefix(f"{self.images.relative_to(self.root).as_posix()}/")
        return Record(
            name=name,
            path=image.path,
            annotation=self.path,
            where=image.where,
            regions=tuple(image.regions),
            stated_size=image.size,
            counts={"regions_crowd": image.crowds},
        )


def _label(annotation: Mapping[str, Any], categories: Mapping[int, str], where: str) -> str:
    category = require(annotation, "category_id", int, where)
    if category not in categories:
        raise UserError(f"{where} is of category {category}, which is not listed; list or correct it.")
    label = categories[category].strip()
    if not label:
        raise UserError(f"{where} is of a category without a name; name what it shows.")
    return label


def _region(annotation: Mapping[str, Any], label: str, size: tuple[int, int], where: str) -> Region:
    width, height = size
    shapes = read_shapes(annotation.get("segmentation"), height, width, f"{where}: its segmentation")
    if not shapes:
        raise UserError(f"{where} has a segmentation without polygons; draw or remove it.")
    return Region(label, shapes, where)
