"""Where the images of scored expressions lie, found without reading any truth."""

from collections.abc import Set
from pathlib import Path

from refvessel.dataset.tree import entries
from refvessel.dataset.tree.layout import IMAGES, INSTANCES, REFS
from refvessel.dataset.tree.refs import read_refs
from refvessel.errors import UserError
from refvessel.files import read_json


def image_places(root: Path, ref_ids: Set[int]) -> dict[str, Path]:
    """Image_id -> file, for the images of the refs `ref_ids` at least; some may not exist.

    Trees of others may spread images over folders, with equal names in different ones: then the refs say which are
    meant. Raises UserError where a file of the tree cannot be read or an image has no file name.
    """
    where = str(root / INSTANCES)
    instances = read_json(root / INSTANCES)
    try:
        listed = instances[entries.IMAGES]
        names = {entries.file_name_of(image, where) for image in listed}
    except (KeyError, TypeError, UserError):
        raise UserError(f"{where} has no images with a file_name; convert the dataset again.") from None
    if len({Path(name).stem for name in names}) < len(names):
        images = entries.entries_by_id(instances, entries.IMAGES, where)
        ids = [entries.ids_of(ref, f"{root / REFS}: ref {n}") for n, ref in enumerate(read_refs(root / REFS))]
        scored = {image_id for ref_id, image_id in ids if ref_id in ref_ids} & images.keys()
        names = {entries.file_name_of(images[image_id], where) for image_id in scored}
    return {Path(name).stem: root / IMAGES / name for name in names}
