"""Which phrase a label means: the name of a folder, the value of a pixel, a category."""

from collections.abc import Mapping

from refvessel.errors import UserError
from refvessel.imports.wanted import Wanted
from refvessel.predictions.drawn_masks import PhraseNames

Stated = Mapping[int | str, str | None] | str | None  # the setting `phrases` of a model


class LabelPhrases:
    """The phrases that labels mean, as they are stated or else as they are called."""

    def __init__(self, stated: Stated, wanted: Wanted) -> None:
        self._stated: dict[str, str | None] = (
            {str(label).strip(): phrase for label, phrase in stated.items()}
            if isinstance(stated, Mapping)
            else {}
        )
        self._fixed = stated if isinstance(stated, str) else None
        self._phrases = wanted.phrases
        self._asked = wanted.split_phrases
        drawn = PhraseNames()
        self._folders = {drawn.of(phrase): phrase for phrase in self._asked}
        unknown = {self._fixed, *self._stated.values()} - {None} - self._phrases
        if unknown:
            raise UserError(
                f"phrases names {min(map(str, unknown))!r}, which {wanted.root.name} does not ask for; it asks "
                f"for: {', '.join(sorted(self._phrases))}."
            )

    @property
    def only(self) -> str | None:
        """The phrase of masks that say nothing of theirs: the stated one, or the only one that is asked."""
        if self._fixed is None and not self._stated and len(self._asked) == 1:
            return self._asked[0]
        return self._fixed

    @property
    def by_value(self) -> dict[int, str] | None:
        """Value of a pixel -> its label, where phrases are stated by values."""
        values = [label for label in self._stated if label.isdecimal()]
        return (
            {int(value): value for value in values} if values and len(values) == len(self._stated) else None
        )

    def of(self, label: str, where: str) -> str | None:
        """The phrase of a label, None where it is left out; raises UserError at `where` for a strange one."""
        if self._fixed is not None:
            return self._fixed
        if label in self._stated:
            return self._stated[label]
        if label in self._phrases:
            return label
        if label in self._folders and not self._stated:
            return self._folders[label]
        raise UserError(
            f"{where}: {label!r:.200} is none of the phrases that are asked for; say in phrases which one it "
            "means, or null to leave it out."
        )
