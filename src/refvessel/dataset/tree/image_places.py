"""Where the images of scored expressions lie, found without reading any truth."""

from collections.abc import Set
from contextlib import suppress
from pathlib import Path
from typing import Any

from refvessel.dataset.tree import entries
from refvessel.dataset.tree.layout import IMAGES, INSTANCES, REFS
from refvessel.dataset.tree.refs import read_refs, stored_refs
from refvessel.dataset.tree.stored_entries import is_large
from refvessel.errors import UserError
from refvessel.files import read_json
from refvessel.long_json import ReadWholeError, ignored, read_around_lists


def image_places(root: Path, ref_ids: Set[int]) -> dict[str, Path]:
    """Image_id -> file, for the images of the refs `ref_ids` at least; some may not exist.

    Trees of others may spread images over folders, with equal names in different ones: then the refs say which are
    meant. Raises UserError where a file of the tree cannot be read or an image has no file name.
    """
    where = str(root / INSTANCES)
    try:
        listed = _images(root / INSTANCES)
        names = {entries.file_name_of(image, where) for image in listed}
    except (KeyError, TypeError, UserError):
        raise UserError(f"{where} has no images with a file_name; convert the dataset again.") from None
    if len({Path(name).stem for name in names}) < len(names):
        images = entries.entries_by_id({entries.IMAGES: listed}, entries.IMAGES, where)
        refs = stored_refs(root / REFS) if is_large(root / REFS) else read_refs(root / REFS)
        ids = (entries.ids_of(ref, f"{root / REFS}: ref {n}") for n, ref in enumerate(refs))
        scored = {image_id for ref_id, image_id in ids if ref_id in ref_ids} & images.keys()
        names = {entries.file_name_of(images[image_id], where) for image_id in scored}
    return {Path(name).stem: root / IMAGES / name for name in names}


def _images(path: Path) -> list[Any]:
    """The images in `instances.json`, of large ones without what is not looked at here."""
    if is_large(path):
        found: list[Any] = []

        def add(image: Any, *_: int) -> None:
            found.append({name: image[name] for name in ("id", "file_name") if name in image})

        with suppress(ReadWholeError):
            others = read_around_lists(path, {entries.IMAGES: add, entries.ANNOTATIONS: ignored})
            if entries.IMAGES not in others:
                return found
    images: list[Any] = read_json(path)[entries.IMAGES]
    return images
