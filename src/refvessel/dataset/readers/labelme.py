"""LabelMe: a folder, searched recursively, of JSON files and their images.

`imagePath` is read from the JSON file's folder; where that image is absent, it is looked for in the folder of
images beside it (see `beside`); where it is not there either and the JSON file embeds it (`imageData`), the
embedded one is used. For the shapes see `labelme_shapes`.
"""

import io
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any

from PIL import ExifTags

from refvessel.dataset.fields import optional_size, positive_number, require
from refvessel.dataset.problems import Problems
from refvessel.dataset.readers.beside import ImageFolders
from refvessel.dataset.readers.labelme_shapes import LabelmeShapes, bytes_of_base64
from refvessel.dataset.readers.records import Record, not_annotated
from refvessel.dataset.readers.source_files import locate, visible_files, visible_name
from refvessel.errors import UserError
from refvessel.files import read_bytes, read_json
from refvessel.image_files import identify

_TURNED_BY_90_DEGREES = range(5, 9)  # EXIF orientations


def read(
    root: Path,
    problems: Problems,
    *,
    images: str | None = None,
    line_width: float | None = None,
    left_out: Set[str] = frozenset(),
) -> Iterator[Record]:
    """Yield one record per JSON file, then one without regions per image that no JSON file names.

    `images` is the folder of the images, from `root`, where it is neither the JSON files' nor beside it.
    """
    if line_width is not None:
        line_width = positive_number(line_width, "The option line_width")
    folders = ImageFolders(root, images)
    annotated = set()
    for path in visible_files(root, frozenset({".json"})):
        with problems.collect():
            record = _record(root, path, folders, line_width, left_out)
            annotated.add(record.path)
            yield record
    yield from not_annotated(root, annotated)


def _record(
    root: Path, path: Path, folders: ImageFolders, line_width: float | None, left_out: Set[str]
) -> Record:
    real = locate(root, root, str(path.relative_to(root)), f"{root}: the annotation")
    content = read_json(real)
    name = require(content, "imagePath", str, str(path))
    place = _place(root, path, name, folders)
    image = None if place is None else locate(root, *place, f"{path}: imagePath")
    if image is None and content.get("imageData") is None:
        raise UserError(
            f"{path}: the image {name!r:.200} does not exist; put it there, correct imagePath or name the folder "
            "of the images in the option images."
        )
    shapes = LabelmeShapes.listed(content, real, str(path), line_width, left_out)
    return Record(
        name=path.relative_to(root).as_posix() if place is None else visible_name(root, *place),
        path=image or real,
        annotation=real,
        where=str(path),
        region_files=(shapes,),
        stated_size=optional_size(content, "imageWidth", "imageHeight", str(path)),
        upright=True,  # LabelMe shows images so
        load=embedded_image if image is None else read_bytes,
        counts={
            "embedded_images_of_another_size": int(
                image is not None and _embeds_another_size(content, image)
            ),
            "holes_before_regions": shapes.holes_before_regions,
        },
    )


def _place(root: Path, path: Path, name: str, folders: ImageFolders) -> tuple[Path, str] | None:
    """The folder of the image that the LabelMe file at `path` calls `name`, and its name there; None if absent."""
    if not folders.are_stated and locate(root, path.parent, name, f"{path}: imagePath").is_file():
        return path.parent, name
    return folders.find(path, name)


def _embeds_another_size(content: Mapping[str, Any], image: Path) -> bool:
    """True where the embedded image, which is upright, opens and has not the size of the image file."""
    text = content.get("imageData")
    if not isinstance(text, str):
        return False
    try:
        embedded = identify(io.BytesIO(bytes_of_base64(text, str(image)))).size
        with image.open("rb") as stream:
            found = identify(stream)
            turned = found.getexif().get(ExifTags.Base.Orientation) in _TURNED_BY_90_DEGREES
            return embedded != (found.size[::-1] if turned else found.size)
    except Exception:  # what does not open is not used, or told when it is
        return False


def embedded_image(path: Path) -> bytes:
    """The encoded image inside a LabelMe file; raises UserError where its base64 text is damaged."""
    return bytes_of_base64(require(read_json(path), "imageData", str, str(path)), f"{path}: imageData")
