"""Annotation files in a folder beside that of their images: `json/p1.json` and `images/p1.png`."""

import unicodedata
from functools import cached_property
from pathlib import Path, PureWindowsPath

from refvessel.dataset.readers.source_files import IMAGE_SUFFIXES, locate, visible_files
from refvessel.errors import UserError


class ImageFolders:
    """The folders of images below `root`; `stated` is the one that an option names, from `root`."""

    def __init__(self, root: Path, stated: str | None = None) -> None:
        self._root = root
        self._stated = stated
        if stated is not None and not locate(root, root, stated, "The option images").is_dir():
            raise UserError(f"The option images: {root} has no folder {stated!r}; correct it.")

    @property
    def are_stated(self) -> bool:
        """True where an option names the folder, which then counts alone."""
        return self._stated is not None

    def find(self, annotation: Path, name: str) -> tuple[Path, str] | None:
        """The folder of the image that `annotation` calls `name`, and its name there; None without one.

        Without a stated folder it lies in one whose path differs from the annotation's in one folder, by another
        name, by one more or by one less, where the one holds annotations alone and the other images alone.
        Raises UserError where there are several.
        """
        file_name = unicodedata.normalize("NFC", PureWindowsPath(name).name)
        if self._stated is not None:
            return self._in_stated(self._stated, annotation, file_name)
        found = [
            path
            for path in self._images.get(file_name, [])
            if self._is_beside(annotation.parent, path.parent)
        ]
        if len(found) > 1:
            raise UserError(
                f"{annotation}: its image may be {found[0]} or {found[1]}; name the folder of the images in the "
                "option images."
            )
        return (found[0].parent, found[0].name) if found else None

    def _in_stated(self, stated: str, annotation: Path, file_name: str) -> tuple[Path, str] | None:
        """In the stated folder, or in the folders below it that the annotation's path has too."""
        folders = annotation.parent.relative_to(self._root).parts
        for start in range(len(folders) + 1):
            folder = self._root / stated / Path(*folders[start:])
            if locate(self._root, folder, file_name, f"{annotation}: imagePath").is_file():
                return folder, file_name
        return None

    @cached_property
    def _images(self) -> dict[str, list[Path]]:
        """By name."""
        images: dict[str, list[Path]] = {}
        for path in visible_files(self._root, IMAGE_SUFFIXES):
            images.setdefault(unicodedata.normalize("NFC", path.name), []).append(path)
        return images

    @cached_property
    def _with_images(self) -> set[Path]:
        return {path.parent for paths in self._images.values() for path in paths}

    @cached_property
    def _with_annotations(self) -> set[Path]:
        return {path.parent for path in visible_files(self._root, frozenset({".json"}))}

    def _is_beside(self, annotations: Path, images: Path) -> bool:
        return (
            annotations not in self._with_images
            and images not in self._with_annotations
            and _one_apart(annotations.relative_to(self._root).parts, images.relative_to(self._root).parts)
        )


def _one_apart(first: tuple[str, ...], second: tuple[str, ...]) -> bool:
    """True where two paths become equal once one folder is renamed, left out or put in."""
    start = 0
    while start < min(len(first), len(second)) and first[start] == second[start]:
        start += 1
    first, second = first[start:], second[start:]
    while first and second and first[-1] == second[-1]:
        first, second = first[:-1], second[:-1]
    return max(len(first), len(second)) == 1
