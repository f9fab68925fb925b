"""A folder of LabelMe files, as another annotator drew them; the images need not be there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from refvessel import rle
from refvessel.dataset.fields import optional_size, require
from refvessel.dataset.readers.labelme_shapes import LabelmeShapes
from refvessel.dataset.readers.source_files import visible_files
from refvessel.errors import UserError
from refvessel.files import read_json
from refvessel.imports.source import Answer, Source

_SUFFIXES = frozenset({".json"})


def read(source: Source) -> Iterator[Answer]:
    """The outlines of each file, drawn as the truth's are; a phrase without any has an empty mask.

    Coordinates that refer to another size than the image's are scaled, and counted.
    """
    if not source.root.is_dir():
        raise UserError(f"{source.root} is no folder; name the one that holds the LabelMe files.")
    for path in visible_files(source.root, _SUFFIXES):
        with source.problems.collect():
            content = read_json(path)
            image_id = _image_of(source, path, content)
            if image_id in source.wanted.sizes:
                source.files[path] = image_id
                with source.about(image_id):
                    yield from _answers(source, path, content, image_id)


def _image_of(source: Source, path: Path, content: Any) -> str:
    """By the path of the file, else by the image that it says it is of."""
    names = source.wanted.names
    inside = path.relative_to(source.root).with_suffix("")
    for name in (inside.as_posix(), inside.name):
        if (found := names.find(name)) is not None:
            return found
    stated = require(content, "imagePath", str, str(path))
    return source.wanted.image_called(stated, str(path))


def _answers(source: Source, path: Path, content: Any, image_id: str) -> Iterator[Answer]:
    where, size = str(path), source.wanted.sizes[image_id]
    stated = optional_size(content, "imageWidth", "imageHeight", where)
    source.scaled += stated not in (None, size)
    width = source.settings.options.given().get("line_width")
    shapes = LabelmeShapes.listed(content, path, where, None if width is None else float(width))
    drawn: dict[str, list[rle.RLE]] = {phrase: [] for phrase in source.wanted.split_phrases}
    for region in shapes.regions(source.problems):
        phrase = None if region.ignored else source.phrases.of(region.label, region.where)
        if phrase in drawn:
            drawn[phrase].append(region.draw(size, stated).mask)
    for phrase, masks in drawn.items():
        yield Answer(image_id, phrase, rle.union([rle.empty(size[1], size[0]), *masks]), where)
