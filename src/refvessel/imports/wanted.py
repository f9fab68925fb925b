"""What a split asks, as imports look it up: by image and phrase, and never by its truth."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from refvessel.dataset.tree.entries import file_name_of
from refvessel.dataset.tree.expressions import Sentence, Tree
from refvessel.dataset.tree.layout import INSTANCES
from refvessel.errors import UserError
from refvessel.imports.image_names import ImageNames
from refvessel.predictions.answered import only_answered


@dataclass(frozen=True)
class Wanted:
    """The expressions of a split that are answered, and the names of all images of its tree.

    asked: (image_id, phrase) -> its expressions.
    sizes: (width, height) in pixels of each image of the split.
    phrases: of all splits, by which labels are known that are not asked here.
    images: image_id by the number that the image has in instances.json.
    """

    tree: Tree
    split: str
    sentences: Sequence[Sentence]
    asked: Mapping[tuple[str, str], Sequence[Sentence]]
    sizes: Mapping[str, tuple[int, int]]
    phrases: frozenset[str]
    images: Mapping[int, str]
    names: ImageNames

    @property
    def root(self) -> Path:
        """The tree's folder."""
        return self.tree.root

    @property
    def split_phrases(self) -> list[str]:
        """The phrases that are asked, in the order of the split's expressions."""
        return list(dict.fromkeys(each.phrase for each in self.sentences))

    def image_called(self, name: str, where: str) -> str:
        """The id of the image of this name or file; raises UserError, opening with `where`, for an unknown one."""
        found = self.names.find_file(name)
        if found is None:
            raise self.no_image(name, where)
        return found

    def no_image(self, name: str, where: str, remedy: str = "") -> UserError:
        """What to say where no image has a name; `remedy` is one more, with a comma before it."""
        table = "" if self.names.are_private else ", or give the table of the names behind its pseudonyms"
        return UserError(
            f"{where}: {self.root.name} has no image that is called {name!r:.200}; name it as there{remedy}"
            f"{table}."
        )


def wanted_of(
    tree: Tree, split: str, originals: Mapping[str, str], answers: Collection[str] | None = None
) -> Wanted:
    """What a split of a tree asks.

    Args:
        tree: official tree.
        split: of it.
        originals: the names before pseudonyms, by image_id, if there are any.
        answers: the phrases to which there are answers; None: all of them.

    Raises:
        UserError: where the tree does not ask for one of these phrases.
    """
    phrases = frozenset(each.phrase for name in tree.split_names() for each in tree.sentences(name))
    if unknown := sorted(set(answers or ()) - phrases):
        raise UserError(
            f"The option answers names {unknown[0]!r:.200}, which {tree.root.name} does not ask for; it asks for: "
            f"{', '.join(sorted(phrases))}."
        )
    sentences = only_answered(tree.sentences(split), answers)
    asked: dict[tuple[str, str], list[Sentence]] = {}
    for each in sentences:
        asked.setdefault((each.image_id, each.phrase), []).append(each)
    where = str(tree.root / INSTANCES)
    images = {number: Path(file_name_of(entry, where)).stem for number, entry in tree.images.items()}
    return Wanted(
        tree,
        split,
        sentences,
        asked,
        {each.image_id: (each.width, each.height) for each in sentences},
        phrases,
        images,
        ImageNames(frozenset(images.values()), originals),
    )
