"""A folder of images without any annotation: what is asked about them is stated beside."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from refvessel.dataset.problems import Problems
from refvessel.dataset.readers.records import Record
from refvessel.dataset.readers.source_files import IMAGE_SUFFIXES, locate, visible_files
from refvessel.dataset.tree.expressions import Sentence
from refvessel.dataset.tree.loader import SHOWN_MODES
from refvessel.errors import UserError
from refvessel.image_files import decode_file, identify


def read(root: Path, problems: Problems) -> Iterator[Record]:  # noqa: ARG001 (each reader takes both)
    """Yield a record for every image below `root`, in the order of their paths; nothing is annotated on it."""
    for path in visible_files(root, IMAGE_SUFFIXES):
        name = path.relative_to(root).as_posix()
        place = locate(root, root, name, f"{root}: the image")
        yield Record(name, place, annotation=place, where=str(path))


def sentences_of_folder(folder: Path, phrases: Sequence[str], *, sequences: bool = False) -> list[Sentence]:
    """Every phrase about every image of a folder, the images sorted by name (2 before 10), called by their stems.

    Args:
        folder: of images; what is directly in it counts.
        phrases: what is asked.
        sequences: whether the frames in folders below count, too; they are called `FOLDER/STEM`.

    Raises:
        UserError: naming all images that do not open or that share a name, and a folder without any.
    """
    folder, problems = Path(folder), Problems()
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; name the one that holds the images.")
    paths = [path for path in visible_files(folder, IMAGE_SUFFIXES) if sequences or path.parent == folder]
    paths.sort(key=lambda path: (path.parent, _natural(path.stem), path.name))
    if not paths:
        raise UserError(
            f"{folder} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}); name another folder."
        )
    known: dict[str, Path] = {}
    sentences: list[Sentence] = []
    for path in paths:
        with problems.collect():
            name = path.relative_to(folder).with_suffix("").as_posix()
            twin = known.setdefault(name, path)
            if twin != path:
                raise UserError(f"{path} and {twin.name} would both be called {name!r}; rename one.")
            width, height = _size(path)
            for phrase in phrases:
                number = len(sentences) + 1
                sentences.append(Sentence(name, number, number, phrase, height, width, path))
    problems.raise_any()
    return sentences


def _natural(stem: str) -> list[tuple[int, str]]:
    """A name such that the numbers in it count as numbers."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", stem)]


def _size(path: Path) -> tuple[int, int]:
    """(width, height) of an image that a model can be shown; raises UserError for any other."""
    try:
        with path.open("rb") as stream:
            image = identify(stream)
    except Exception:
        image = decode_file(path)  # which says what is wrong
    if image.mode not in SHOWN_MODES:
        raise UserError(
            f"{path} has pixels of the kind {image.mode!r}, of which 8 bits keep little; save it with 8 bits."
        )
    return image.size
