"""Which file below a folder is of which image and phrase, by path templates."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from refvessel.dataset.readers.path_templates import PathTemplate
from refvessel.dataset.readers.source_files import locate, visible_files
from refvessel.errors import UserError
from refvessel.imports.source import Source

IMAGE, PHRASE = "image", "phrase"  # fields of templates
_OPTION = "pattern"


@dataclass(frozen=True)
class MaskFile:
    """A file of one image of the split.

    folder: what stands for {phrase} in its path; None where nothing does.
    """

    path: Path
    image_id: str
    folder: str | None


def mask_files(source: Source, suffixes: frozenset[str], ending: str) -> Iterator[MaskFile]:
    """The files of a folder that are of images of the split, in the order of their paths.

    Those of other splits are passed over. Names that no image has are handed to the problems.

    Args:
        source: whose root is the folder.
        suffixes: of the files that are looked at, in lower case.
        ending: regular expression of what follows a file's name and a dot, where no pattern is stated.
    """
    templates = _templates(source.settings.pattern, ending)
    matched = False
    if not source.root.is_dir():
        raise UserError(f"{source.root} is no folder; name the one that holds the masks.")
    for path in visible_files(source.root, suffixes):
        name = path.relative_to(source.root).as_posix()
        found = [fields for each in templates if (fields := each.match(name)) is not None]
        if not found:
            continue
        matched = True
        with source.problems.collect():
            image_id, fields = _image_of(source, path, found)
            if image_id in source.wanted.sizes:
                with source.about(image_id):
                    locate(source.root, source.root, name, f"{source.root}: the mask")
                    yield MaskFile(path, image_id, fields.get(PHRASE))
    if not matched:
        raise UserError(
            f"{source.root} holds no file that matches the pattern; correct the folder or {_OPTION}."
        )


def _templates(pattern: str | None, ending: str) -> list[PathTemplate]:
    if pattern is None:
        usual = f"{{{IMAGE}:.+}}.{{suffix:{ending}}}"
        return [PathTemplate(each, _OPTION) for each in (usual, f"{{{PHRASE}}}/{usual}")]
    template = PathTemplate(pattern, _OPTION)
    if IMAGE not in template.fields:
        raise UserError(f"The option {_OPTION} {pattern!r} has no field {{{IMAGE}}}; add it.")
    return [template]


def _image_of(source: Source, path: Path, found: Sequence[dict[str, str]]) -> tuple[str, dict[str, str]]:
    """The image that a file is of, and the fields of the template by which it is known."""
    for fields in found:
        if (image_id := source.wanted.names.find(fields[IMAGE])) is not None:
            return image_id, fields
    name = found[-1][IMAGE]
    remedy = f", say in {_OPTION} what the folders in its path are" if "/" in name else ""
    raise source.wanted.no_image(name, str(path), remedy)
