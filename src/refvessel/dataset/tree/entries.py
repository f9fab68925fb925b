"""What stands in `instances.json` and `refs(unc).p`: the fields of their entries, for reading and for writing.

Each class is one kind of entry, and its fields are the entry's, in the order in which they are written; `patient`,
`ignore` and `spacing` of images are ours. What is read is checked field by field as it is needed, since trees of
others may lack what nobody needs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from pycocotools import mask as coco

from refvessel import rle
from refvessel.dataset.fields import optional_spacing, require, require_size, shown
from refvessel.dataset.regions.segmentation import read_segmentation
from refvessel.dataset.tree.layout import INSTANCES
from refvessel.errors import UserError

IMAGES, ANNOTATIONS, CATEGORIES = "images", "annotations", "categories"  # the lists in instances.json


@dataclass(frozen=True)
class ImageEntry:
    """An image in `instances.json`."""

    id: int
    file_name: str  # below the tree's folder of images
    width: int
    height: int
    patient: str | None = None  # None: the tree knows no patients
    ignore: rle.RLE | None = None  # pixels that no score looks at
    spacing: tuple[float, float] | None = None  # millimetres per pixel: between rows, between columns

    @classmethod
    def read(cls, entry: Mapping[str, Any], where: str) -> Self:
        """The entry's fields; raises UserError, opening with `where`, where one is unusable."""
        width, height = require_size(entry, "width", "height", where)
        ignore = entry.get("ignore")
        if ignore is not None:
            ignore = read_segmentation(ignore, height, width, f"{where}: its field 'ignore'")
        return cls(
            require(entry, "id", int, where),
            file_name_of(entry, where),
            width,
            height,
            require(entry, "patient", str, where) if "patient" in entry else None,
            ignore,
            optional_spacing(entry, "spacing", where),
        )

    def as_json(self) -> dict[str, Any]:
        """The entry as it is written, without what is None."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def file_name_of(image: Any, where: str) -> str:
    """The file of an image below the tree's folder of images; raises UserError where it is not stated."""
    return str(require(image, "file_name", str, where))


def annotation_entry(number: int, image_id: int, category_id: int, truth: rle.RLE) -> dict[str, Any]:
    """A truth as an annotation of `instances.json`, which has the id `number`."""
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category_id,
        "segmentation": [truth],  # in a list: the official loader indexes it
        "area": rle.area(truth),
        "bbox": coco.toBbox(truth).tolist(),  # x, y, width, height
        "iscrowd": 0,
        "ignore": 0,
    }


def segmentation_of(annotation: Mapping[str, Any]) -> Any:
    """An annotation's segmentation, unchecked."""
    return annotation.get("segmentation")


def category_entry(number: int, phrase: str) -> dict[str, Any]:
    """A phrase as a category of `instances.json`."""
    return {"id": number, "name": phrase, "supercategory": ""}


def category_names(instances: Any, where: str) -> dict[int, str]:
    """The categories of a parsed `instances.json`: name by id; raises UserError where one lacks either."""
    names = {}
    for number, category in enumerate(require(instances, CATEGORIES, list, where)):
        at_category = f"{where}: category {number}"
        names[require(category, "id", int, at_category)] = require(category, "name", str, at_category)
    return names


def entries_by_id(instances: Any, key: str, where: str) -> dict[int, Mapping[str, Any]]:
    """The images or annotations of a parsed `instances.json` by id; raises UserError where two share one."""
    entries: dict[int, Mapping[str, Any]] = {}
    for number, entry in enumerate(require(instances, key, list, where)):
        identifier = require(entry, "id", int, f"{where}: {key} {number}")
        if identifier in entries:
            raise UserError(f"{where} has the id {identifier} twice in its {key}; number them anew.")
        entries[identifier] = entry
    return entries


def ref_entry(
    number: int, image_id: int, category_id: int, *, split: str, file_name: str, phrase: str
) -> dict[str, Any]:
    """The ref of the annotation of the same number, with one sentence of this number too."""
    return {
        "ref_id": number,
        "ann_id": number,
        "category_id": category_id,
        "image_id": image_id,
        "split": split,
        "file_name": file_name,
        "sent_ids": [number],
        "sentences": [{"sent_id": number, "sent": phrase, "raw": phrase, "tokens": phrase.split()}],
    }


def split_of(ref: Any, where: str) -> str:
    """The split of a ref; raises UserError where it is absent."""
    return str(require(ref, "split", str, where))


def ids_of(ref: Any, where: str) -> tuple[int, int]:
    """The ids of a ref and its image; raises UserError where one is absent."""
    return require(ref, "ref_id", int, where), require(ref, "image_id", int, where)


def stated_annotation(ref: Mapping[str, Any]) -> tuple[Any, Any]:
    """The id of a ref and what it states as its annotation, unchecked."""
    return ref.get("ref_id"), ref.get("ann_id")


def count_sentences(ref: Mapping[str, Any]) -> int:
    """How many sentences a ref has, unchecked."""
    return len(ref.get("sentences", ()))


def category_of(ref: Any, where: str) -> int:
    """The id of a ref's category; raises UserError where it is absent."""
    return int(require(ref, "category_id", int, where))


def annotations_of(
    ref: Mapping[str, Any], annotations: Mapping[int, Mapping[str, Any]], where: str
) -> dict[int, Mapping[str, Any]]:
    """A ref's annotations by id: `ann_id` is one number or, in trees of others, a list of them.

    Each is there once: what is named a thousand times is not drawn a thousand times. Raises UserError where one is
    absent.
    """
    stated = ref.get("ann_id")
    identifiers = stated if isinstance(stated, list) else [require(ref, "ann_id", int, where)]
    found: dict[int, Mapping[str, Any]] = {}
    for identifier in identifiers:
        if not isinstance(identifier, int) or identifier not in annotations:
            raise UserError(
                f"{where}: {INSTANCES.name} lacks annotation {shown(identifier)}; replace both files."
            )
        found[identifier] = annotations[identifier]
    return found


def sentences_of(ref: Any, where: str) -> Iterator[tuple[int, str]]:
    """The sentences of a ref: (sent_id, phrase); raises UserError where one has no text."""
    sentences: Sequence[Any] = require(ref, "sentences", list, where)
    for sentence in sentences:
        phrase = require(sentence, "sent", str, where)
        if not phrase.strip():
            raise UserError(f"{where} has a sentence without text; add the phrase to its field 'sent'.")
        yield require(sentence, "sent_id", int, where), phrase
