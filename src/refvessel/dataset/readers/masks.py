"""Folders of images and of masks, matched by path templates (see `templates`).

By default `images/{name}.{suffix}` and `masks/{name}.{mask_suffix}`. An image and its mask share the values of
the fields that both templates have. A mask is two-valued, or grey with a `threshold`, or holds the values of
`labels`; the field `{label}` in its template names what a file shows. An image without a mask is not annotated;
a mask without an image is an error. `field_of_view` masks say which pixels count.
"""

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refvessel.dataset.fields import positive_number
from refvessel.dataset.problems import Problems
from refvessel.dataset.readers.path_templates import PathTemplate
from refvessel.dataset.readers.records import Record, frame_number
from refvessel.dataset.readers.source_files import IMAGE_SUFFIXES, locate, visible_files
from refvessel.dataset.regions.label_images import BinaryMask, LabelImage, OutsideOf
from refvessel.dataset.regions.shapes import Region
from refvessel.errors import UserError
from refvessel.image_files import size_of_file

LABEL = "vessel"  # of two-valued masks whose names tell none


def read(
    root: Path,
    problems: Problems,
    *,
    images: str = "images/{name}.{suffix}",
    masks: str = "masks/{name}.{mask_suffix}",
    field_of_view: str | None = None,
    labels: Mapping[int, str] | None = None,
    threshold: float | None = None,
    patient: str | None = None,
    splits: Mapping[str, str] | None = None,
    left_out: Set[str] = frozenset(),
) -> Iterator[Record]:
    """Yield a record for every image that `images` matches, in the order of their paths.

    `labels` maps the values of masks to labels. `patient` is a template of the fields. `splits` maps the values of
    the field `{split}` to splits, where they are no splits themselves. Fields `{sequence}` and `{frame}` say of
    which run an image is.
    """
    image_template, mask_template = PathTemplate(images, "images"), PathTemplate(masks, "masks")
    if labels is not None and (threshold is not None or "label" in mask_template.fields):
        raise UserError("labels excludes threshold and a field {label} in masks; leave one out.")
    by_value = None if labels is None else _labels(labels)
    unread = left_out if by_value is None else frozenset()  # labels whose masks are not opened
    if threshold is not None:
        threshold = positive_number(threshold, "The option threshold")
    patient_template = None if patient is None else PathTemplate(patient, "patient")
    files = [_File(path.relative_to(root).as_posix(), path) for path in visible_files(root, IMAGE_SUFFIXES)]
    both = [file for file in files if image_template.match(file.name) and mask_template.match(file.name)]
    if both:
        raise UserError(f"{both[0].path} matches both images and masks; make one template stricter.")
    mask_files = _Index(files, mask_template, image_template)
    views = None if field_of_view is None else PathTemplate(field_of_view, "field_of_view")
    view_files = None if views is None else _Index(files, views, image_template)
    for file in files:
        fields = image_template.match(file.name)
        if fields is None:
            continue
        with problems.collect():
            found = mask_files.take(fields)
            where = ", ".join(str(mask.path) for mask, _ in found) or str(file.path)
            view = _view(root, view_files, fields, file)
            located = [
                (locate(root, root, mask.name, f"{root}: the mask"), values.get("label", LABEL))
                for mask, values in found
            ]
            asked_for = [(path, label) for path, label in located if label not in unread]
            yield Record(
                name=file.name,
                path=locate(root, root, file.name, f"{root}: the image"),
                annotation=located[0][0] if located else None,
                where=where,
                regions=tuple(Region(label, (), str(path)) for path, label in located if label in unread),
                region_files=tuple(
                    BinaryMask(path, label, threshold, str(path))
                    if by_value is None
                    else LabelImage(path, by_value, left_out, str(path))
                    for path, label in asked_for
                ),
                ignore=None if view is None else OutsideOf(view, threshold),
                stated_size=size_of_file(asked_for[0][0]) if asked_for else None,
                patient=None if patient_template is None else patient_template.fill(fields, "patient"),
                frame=frame_number(fields.get("frame"), file.name),
                sequence=fields.get("sequence"),
                split=_split(fields, splits),
            )
    for mask in mask_files.left():
        problems.add(
            f"{mask.path}: no image matches this mask; add the image or correct the template images."
        )


@dataclass(frozen=True)
class _File:
    name: str  # relative path
    path: Path


class _Index:
    """Files that match a template, found by the fields that they share with an image."""

    def __init__(self, files: list[_File], template: PathTemplate, images: PathTemplate) -> None:
        self._shared = sorted(template.fields & images.fields - {"label"})
        self._several = "label" in template.fields
        self._found: dict[tuple[str, ...], list[tuple[_File, dict[str, str]]]] = {}
        self._taken: set[tuple[str, ...]] = set()
        for file in files:
            if (fields := template.match(file.name)) is not None:
                self._found.setdefault(self._key(fields), []).append((file, fields))

    def take(self, fields: Mapping[str, str]) -> list[tuple[_File, dict[str, str]]]:
        """The files of an image with these fields; UserError where one is expected and there are more."""
        key = self._key(fields)
        self._taken.add(key)
        found = self._found.get(key, [])
        if len(found) > 1 and not self._several:
            raise UserError(
                f"{found[0][0].path} and {found[1][0].path} belong to one image; make the template stricter or "
                "give it a field {label}."
            )
        return found

    def left(self) -> list[_File]:
        """The files that no image took."""
        return [file for key, found in self._found.items() if key not in self._taken for file, _ in found]

    def _key(self, fields: Mapping[str, str]) -> tuple[str, ...]:
        return tuple(fields[name] for name in self._shared)


def _view(root: Path, views: _Index | None, fields: Mapping[str, str], file: _File) -> Path | None:
    if views is None:
        return None
    found = views.take(fields)
    if not found:
        raise UserError(f"{file.path} has no field-of-view mask; add it or leave field_of_view out.")
    return locate(root, root, found[0][0].name, f"{root}: the field of view")


def _split(fields: Mapping[str, str], splits: Mapping[str, str] | None) -> str | None:
    split = fields.get("split")
    if split is None or splits is None:
        return split
    if split not in splits:
        raise UserError(f"splits does not say what {split!r} is; add it.")
    return splits[split]


def _labels(labels: Any) -> dict[int, str]:
    named = isinstance(labels, Mapping) and labels
    if not named or not all(isinstance(label, str) and label.strip() for label in labels.values()):
        raise UserError(f"labels must map the values of masks to labels, not {labels!r:.80}; correct it.")
    try:
        return {int(value): label.strip() for value, label in labels.items()}
    except (TypeError, ValueError):
        raise UserError(f"labels has a value that is not a whole number: {list(labels)!r:.80}.") from None
