"""What is imported: where it lies, how it is read, what became of it on the way."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from refvessel.dataset.problems import Problems
from refvessel.errors import UserError
from refvessel.imports.label_phrases import LabelPhrases
from refvessel.imports.wanted import Wanted
from refvessel.predictions.prediction import Prediction
from refvessel.rle import RLE
from refvessel.settings.model_section import Model


@dataclass(frozen=True)
class Answer:
    """A mask, and what it answers.

    where: the file and the entry in it, for messages.
    score: of the mask, where its model gave one.
    sent_id: of the only expression that it answers; None: all of the image and phrase.
    record: the record of this program that it comes from, if any.
    """

    image_id: str
    phrase: str
    mask: RLE
    where: str
    score: float | None = None
    sent_id: int | None = None
    record: Prediction | None = None


@dataclass
class Source:
    """A folder or file of predictions that is being read.

    originals: names before pseudonyms, of images and runs, by what they are called now.
    files: those that were read, each with the image that it is of; None of several.
    at_fault: images of which something was told: that their masks are missing needs no telling.
    """

    root: Path
    settings: Model
    wanted: Wanted
    originals: Mapping[str, str]
    problems: Problems = field(default_factory=Problems)
    files: dict[Path, str | None] = field(default_factory=dict)
    at_fault: set[str] = field(default_factory=set)
    scaled: int = 0

    @cached_property
    def phrases(self) -> LabelPhrases:
        """Which phrase a label means."""
        return LabelPhrases(self.settings.phrases, self.wanted)

    @contextmanager
    def about(self, image_id: str) -> Iterator[None]:
        """Turn a UserError of the block into a problem of this image."""
        try:
            yield
        except UserError as error:
            self.problems.add(str(error))
            self.at_fault.add(image_id)

    def require_size(self, found: tuple[int, int], image_id: str, where: str) -> None:
        """Raise UserError unless a mask, (width, height), is of its image's size."""
        wanted = self.wanted.sizes[image_id]
        if found != wanted:
            turned = ", which is the size with its sides exchanged" if found[::-1] == wanted else ""
            raise UserError(
                f"{where} is of {found[0]} x {found[1]} pixels, {self.wanted.names.told(image_id)} of "
                f"{wanted[0]} x {wanted[1]}{turned}; masks are not resampled, give one of the image's size."
            )

    def the_file(self, name: str) -> Path:
        """The one file of predictions: the root itself, or the file of this name or suffix in it."""
        if self.root.is_file():
            return self.root
        usual = self.root / name
        alike = [usual] if usual.is_file() else sorted(self.root.glob(f"*{Path(name).suffix}"))
        if len(alike) != 1:
            raise UserError(
                f"{self.root} holds {len(alike) or 'no'} files *{Path(name).suffix}; name the one to be imported."
            )
        return alike[0]


Reader = Callable[[Source], Iterator[Answer]]
