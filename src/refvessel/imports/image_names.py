"""What others call the images of a tree: their ids there, and the names that they had before."""

import unicodedata
from collections.abc import Collection, Iterable, Mapping
from pathlib import PurePosixPath, PureWindowsPath

from refvessel.dataset.patients.pseudonyms import OriginalNames
from refvessel.errors import UserError
from refvessel.privacy.name_tables import Name

_CHANNEL = "_0000"  # that nnU-Net adds to the names of images, and not to those of their masks


def originals_of(names: Iterable[Name]) -> dict[str, str]:
    """Published name -> original one, of the images and runs in a name table."""
    return {name.published: name.original for name in names if name.kind == "image"}


class ImageNames:
    """Finds images by their names, with or without suffix and folders.

    Args:
        image_ids: of all images of the tree.
        originals: image_id -> relative path that the image had; may know others, too, and none.
    """

    def __init__(self, image_ids: Collection[str], originals: Mapping[str, str]) -> None:
        self.are_private = bool(originals)
        self._image_ids = frozenset(image_ids)
        self._originals = {each: originals[each] for each in image_ids if each in originals}
        self._known: dict[str, set[str]] = {}
        for image_id in image_ids:
            for name in {image_id, self._originals.get(image_id, image_id)}:
                for spelling in _spellings(name):
                    self._known.setdefault(spelling, set()).add(image_id)

    def find(self, name: str) -> str | None:
        """The id of the image that a file calls `name`, None where there is none.

        Raises UserError where several are called so.
        """
        if name in self._image_ids:
            return name
        plain = unicodedata.normalize("NFC", name)
        found = self._known.get(plain, set())
        if not found and (published := OriginalNames().image(f"{plain}.", "")) in self._image_ids:
            return published
        if len(found) > 1:
            raise UserError(
                f"{name!r:.200} may be {' or '.join(self.told(each) for each in sorted(found)[:2])}; name the "
                "file by the image's id or its whole path."
            )
        return next(iter(found), None)

    def find_file(self, file_name: str) -> str | None:
        """The same of an image's file, wherever it lay: by its path, else by its name alone."""
        path = PureWindowsPath(file_name)
        spellings = (path.as_posix(), path.with_suffix("").as_posix(), path.name, path.stem)
        found = (self.find(each) for each in spellings)
        return next((each for each in found if each is not None), None)

    def told(self, image_id: str) -> str:
        """What messages call an image."""
        original = self._originals.get(image_id)
        return f"the image {image_id}" + (f" ({original})" if original else "")


def _spellings(name: str) -> set[str]:
    """A name in the forms in which files may have it."""
    path = PurePosixPath(unicodedata.normalize("NFC", name))
    bare = path.with_suffix("") if path.suffix else path
    whole = {path.as_posix(), path.name, bare.as_posix(), bare.name}
    return whole | {each.removesuffix(_CHANNEL) for each in whole}
