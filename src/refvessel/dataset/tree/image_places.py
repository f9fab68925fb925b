"""Where the images of scored expressions lie, found without reading any truth."""

from collections.abc import Set
from pathlib import Path

from refvessel.dataset.tree import entries
from refvessel.dataset.tree.layout import IMAGES, INSTANCES, REFS
from refvessel.dataset.tree.refs import read_refs
from refvessel.files import read_json


def image_places(root: Path, ref_ids: Set[int]) -> dict[str, Path]:
    """Image_id -> file, for the images of the refs `ref_ids` at least; some may not exist.

    Trees of others may spread images over folders, with equal names in different ones: then the refs say which are
    meant. Raises UserError where a file of the tree cannot be read or an image has no file name.
    """
    where = f"{root / INSTANCES}: image"
    listed = entries.entries_by_id(read_json(root / INSTANCES), entries.IMAGES, str(root / INSTANCES))
    names = {number: entries.file_name_of(entry, f"{where} {number}") for number, entry in listed.items()}
    distinct = set(names.values())
    if len({Path(name).stem for name in distinct}) < len(distinct):
        ids = [entries.ids_of(ref, f"{root / REFS}: ref {n}") for n, ref in enumerate(read_refs(root / REFS))]
        distinct = {names[image_id] for ref_id, image_id in ids if ref_id in ref_ids and image_id in names}
    return {Path(name).stem: root / IMAGES / name for name in distinct}
