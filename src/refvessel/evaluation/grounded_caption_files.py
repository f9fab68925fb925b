"""The official files of grounded captioning (GCG): masks and captions of the truth, and one prediction per image.

MASKS.json      COCO: `images`, `annotations` (`image_id`, `category_id`, `segmentation` (RLE), `area`, `iscrowd`)
CAPTIONS.json   COCO: `images`, `annotations` with `image_id`, `caption` and `labels`, one per mask, in their order
DIR/IMAGE.json  `image_id`, `caption`, `phrases` and `pred_masks` (RLEs), perhaps nested below one key
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from refvessel.dataset.fields import of_kind, require, shown
from refvessel.dataset.problems import Problems
from refvessel.errors import UserError
from refvessel.files import read_json
from refvessel.predictions.captions import PREDICTION_SUFFIX, ImageId, PredictedCaption
from refvessel.rle import RLE, is_rle


@dataclass(frozen=True)
class CaptionedImage:
    """An image of the truth; label i belongs to mask i, but their numbers may differ.

    size: height and width in pixels; empty where nothing tells them.
    annotations: the masks as COCO's tools take them.
    captions: one or more, all of them references.
    labels: of the first caption; the official script looks at no other.
    """

    image_id: ImageId
    size: list[int] = field(default_factory=list)
    annotations: list[Mapping[str, Any]] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)

    @property
    def masks(self) -> list[RLE]:
        """Of every category."""
        return [annotation["segmentation"] for annotation in self.annotations]


@dataclass(frozen=True)
class CaptionTruth:
    """Both files of the truth.

    coco: the file of the masks as COCO's tools take it.
    images: those with a caption, in the order of the file of captions.
    uncaptioned: the other images that have masks.
    """

    coco: Mapping[str, Any]
    images: Sequence[CaptionedImage]
    uncaptioned: Sequence[CaptionedImage]


def read_caption_truth(masks: Path, captions: Path) -> CaptionTruth:
    """Both files of the truth; raises UserError naming all that is wrong with them."""
    problems = Problems()
    with_masks, with_captions = read_json(masks), read_json(captions)
    sizes = _stated_sizes(with_masks, masks, problems)
    known = {
        image_id: CaptionedImage(image_id, sizes.get(image_id, []))
        for image_id in _image_ids(with_masks, masks, problems)
    }
    captioned = _image_ids(with_captions, captions, problems)
    for image_id in captioned:
        if image_id not in known:
            problems.add(
                f"{captions}: {masks} lacks the image {shown(image_id)}; give both files of one split."
            )
    for number, annotation in enumerate(_annotations(with_masks, masks, problems)):
        with problems.collect():
            where = f"{masks}: annotations, entry {number}"
            image = _image_of(annotation, known, where)
            _require_size(annotation["segmentation"], image, where)
            image.annotations.append(annotation)
    for number, annotation in enumerate(_list(with_captions, "annotations", captions, problems)):
        with problems.collect():
            where = f"{captions}: annotations, entry {number}"
            image = _image_of(annotation, known, where)
            caption = require(annotation, "caption", str, where)
            labels = _texts(annotation, "labels", where)
            if not image.captions:
                image.labels.extend(labels)
            image.captions.append(caption)
    for image_id in captioned:
        if image_id in known and not known[image_id].captions:
            problems.add(f"{captions}: the image {shown(image_id)} has no caption; add an annotation for it.")
    if not captioned and not problems.sentences:
        problems.add(f"{captions} lists no image; give the captions of a split.")
    problems.raise_any()
    chosen = set(captioned)
    images = [
        {"id": image.image_id, **dict(zip(("height", "width"), image.size, strict=False))}
        for image in known.values()
    ]
    annotations = [annotation for image in known.values() for annotation in image.annotations]
    return CaptionTruth(
        coco={"images": images, "annotations": annotations, "categories": _categories(annotations)},
        images=[known[image_id] for image_id in captioned],
        uncaptioned=[image for image in known.values() if image.annotations and image.image_id not in chosen],
    )


def read_predicted_captions(folder: Path, truth: CaptionTruth) -> list[PredictedCaption]:
    """The prediction of each image of the truth, in its order; raises UserError naming all that is wrong."""
    folder, problems = Path(folder), Problems()
    if not folder.is_dir():
        raise UserError(
            f"{folder} is not a folder; name the one that holds the predictions, one JSON per image."
        )
    predicted = []
    for image in truth.images:
        path = folder / f"{image.image_id}{PREDICTION_SUFFIX}"
        with problems.collect():
            if not path.is_file():
                raise UserError(f"{path} does not exist; caption that image.")
            predicted.append(_prediction(read_json(path), image, str(path), problems))
        if problems.enough:
            break
    problems.raise_any()
    return predicted


def strangers(folder: Path, truth: CaptionTruth) -> list[str]:
    """The names of predictions of images that the truth does not caption, sorted."""
    known = {f"{image.image_id}{PREDICTION_SUFFIX}" for image in truth.images}
    with os.scandir(folder) as entries:
        found = {
            entry.name for entry in entries if entry.name.endswith(PREDICTION_SUFFIX) and entry.is_file()
        }
    return sorted(found - known)


def _list(content: Any, name: str, path: Path, problems: Problems) -> list[Any]:
    with problems.collect():
        return list(require(content, name, list, str(path)))
    return []


def _image_ids(content: Any, path: Path, problems: Problems) -> list[ImageId]:
    """The ids of a file's images, each once and all of one kind; predictions are files of these names."""
    found: dict[ImageId, None] = {}
    for number, image in enumerate(_list(content, "images", path, problems)):
        where = f"{path}: images, entry {number}"
        with problems.collect():
            image_id: Any = image.get("id") if isinstance(image, dict) else None
            if type(image_id) not in (str, int):
                raise UserError(f"{where}: the field 'id' must be text or a whole number; correct the file.")
            if image_id == "" or set("/\\\0") & set(str(image_id)) or str(image_id).startswith("."):
                raise UserError(f"{where}: the id {shown(image_id)} is no name of a file; rename the image.")
            if image_id in found:
                raise UserError(f"{where}: the id {shown(image_id)} is there twice; keep one.")
            found[image_id] = None
    if len({type(image_id) for image_id in found}) > 1:
        problems.add(f"{path}: some ids of images are text and some are numbers; write all of them alike.")
    return list(found)


def _stated_sizes(content: Any, path: Path, problems: Problems) -> dict[ImageId, list[int]]:
    """Height and width of the images that state both."""
    sizes = {}
    for number, image in enumerate(_list(content, "images", path, problems)):
        if isinstance(image, dict) and {"height", "width", "id"} <= image.keys():
            with problems.collect():
                where = f"{path}: images, entry {number}"
                sizes[image["id"]] = [require(image, side, int, where) for side in ("height", "width")]
    return sizes


def _annotations(content: Any, path: Path, problems: Problems) -> list[dict[str, Any]]:
    """Annotations of masks with the fields that COCO's tools read."""
    found = []
    for number, annotation in enumerate(_list(content, "annotations", path, problems)):
        with problems.collect():
            where = f"{path}: annotations, entry {number}"
            mask = require(annotation, "segmentation", dict, where)
            if not is_rle(mask):
                raise UserError(f"{where}: the field 'segmentation' is no compressed COCO RLE; correct it.")
            area = annotation.get("area")
            if type(area) not in (int, float):
                raise UserError(f"{where}: the field 'area' must be a number, not {shown(area)}; correct it.")
            found.append(
                {
                    "id": require(annotation, "id", int, where),
                    "image_id": annotation.get("image_id"),
                    "category_id": require(annotation, "category_id", int, where),
                    "segmentation": mask,
                    "area": area,
                    "iscrowd": require(annotation, "iscrowd", int, where),
                }
            )
    numbers = [annotation["id"] for annotation in found]
    if len(set(numbers)) < len(numbers):
        problems.add(f"{path}: two annotations have the same id; number them anew.")
    return found


def _image_of(annotation: Any, known: Mapping[ImageId, CaptionedImage], where: str) -> CaptionedImage:
    image_id: Any = annotation.get("image_id") if isinstance(annotation, dict) else None
    if type(image_id) not in (str, int) or image_id not in known:
        raise UserError(
            f"{where} is of the image {shown(image_id)}, which is not among the images; correct it."
        )
    return known[image_id]


def _require_size(mask: RLE, image: CaptionedImage, where: str) -> None:
    """All masks of an image have its size; where it is not stated, that of its first mask."""
    if not image.size:
        image.size.extend(mask["size"])
    if list(mask["size"]) != image.size:
        found, wanted = (f"{height} x {width}" for height, width in (mask["size"], image.size))
        raise UserError(
            f"{where}: the mask has {found} pixels (height x width) but the image {shown(image.image_id)} has "
            f"{wanted}; correct it."
        )


def _categories(annotations: Sequence[Mapping[str, Any]]) -> list[dict[str, int]]:
    return [{"id": number} for number in sorted({annotation["category_id"] for annotation in annotations})]


def _texts(container: Any, key: str, where: str) -> list[str]:
    texts = require(container, key, list, where)
    return [of_kind(text, str, f"{where}: the field {key!r}, entry {i}") for i, text in enumerate(texts)]


def _prediction(content: Any, image: CaptionedImage, where: str, problems: Problems) -> PredictedCaption:
    """The prediction in a file; the official script looks first below its first key."""
    nested = next(iter(content.values()), None) if isinstance(content, dict) else None
    if isinstance(nested, dict) and {"caption", "phrases"} <= nested.keys():
        content = nested
    caption = require(content, "caption", str, where)
    phrases = _texts(content, "phrases", where)
    masks = require(content, "pred_masks", list, where)
    for number, mask in enumerate(masks):
        with problems.collect():
            if not is_rle(mask):
                raise UserError(f"{where}: pred_masks, entry {number} is no compressed COCO RLE; correct it.")
            _require_size(mask, image, f"{where}: pred_masks, entry {number}")
    stated = content.get("image_id", image.image_id)
    if str(stated) != str(image.image_id):
        raise UserError(f"{where}: it says that its image is {shown(stated)}; name the file by its image.")
    return PredictedCaption(image.image_id, caption, phrases, masks)
