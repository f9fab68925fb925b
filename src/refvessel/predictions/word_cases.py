"""What a model is asked besides a data set's own phrases, to find out whether it reads the words."""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Generic, Literal, TypeVar

from refvessel.dataset.tree.expressions import Sentence
from refvessel.errors import UserError
from refvessel.settings.words_section import Words

WordKind = Literal["absent", "paraphrase", "translation"]

_S = TypeVar("_S", bound=Sentence)

_ABSENT = ("bicycle", "traffic light")
_PARAPHRASES = ("the {}", "every {}")
_TRANSLATIONS = {
    "artery": ("Arterie", "artère", "arteria"),
    "blood vessel": ("Blutgefäß", "vaisseau sanguin", "vaso sanguíneo"),
    "catheter": ("Katheter", "cathéter", "catéter"),
    "coronary artery": ("Koronararterie", "artère coronaire", "arteria coronaria"),
    "stenosis": ("Stenose", "sténose", "estenosis"),
    "vein": ("Vene", "veine", "vena"),
    "vessel": ("Gefäß", "vaisseau", "vaso"),
}


@dataclass(frozen=True)
class WordCase(Generic[_S]):
    """An image that is asked about in words that the data set does not have.

    kind: what the words are.
    asked: an expression with these words and, in the place of its sent_id, the number of the case.
    of: the sent_id of the expression whose words are replaced; of an absent target any of the image.
    """

    kind: WordKind
    asked: _S
    of: int


def word_cases(
    expressions: Sequence[_S], words: Words, phrases: Collection[str] | None = None
) -> list[WordCase[_S]]:
    """The cases of a split, numbered in their order, which does not depend on that of the expressions.

    Args:
        expressions: all of the split, or those of its first images by the SHA-256 of their ids.
        words: what is asked.
        phrases: of the whole split; None: those of the expressions.

    Raises UserError for an absent phrase that the data set has.
    """
    stated = {each.phrase for each in expressions} if phrases is None else phrases
    own = {phrase.casefold() for phrase in stated}
    for phrase in words.absent or ():
        if phrase.casefold() in own:
            raise UserError(
                f"words.absent names {phrase!r}, which is a phrase of the data set; name another."
            )
    ordered = sorted(expressions, key=lambda each: (_drawn(each.image_id), each.image_id, each.sent_id))
    images = [list(mine) for _, mine in groupby(ordered, key=lambda each: each.image_id)][: words.images]
    asked = [each for mine in images for each in _of_image(mine, words, own)]
    return [
        WordCase(kind, replace(base, phrase=phrase, sent_id=number), base.sent_id)
        for number, (kind, phrase, base) in enumerate(asked)
    ]


def _of_image(mine: list[_S], words: Words, own: set[str]) -> Iterator[tuple[WordKind, str, _S]]:
    """Kind, phrase and the expression that the phrase replaces, of one image."""
    absent = [each for each in _ABSENT if each not in own] if words.absent is None else words.absent
    for phrase in absent:
        yield "absent", phrase, mine[0]
    for each in mine:
        for phrase in _others(
            words.paraphrases, each.phrase, [other.format(each.phrase) for other in _PARAPHRASES]
        ):
            yield "paraphrase", phrase, each
        for phrase in _others(words.translations, each.phrase, _TRANSLATIONS.get(each.phrase.casefold(), ())):
            yield "translation", phrase, each


def _others(
    stated: Mapping[str, Sequence[str]] | None, phrase: str, otherwise: Sequence[str]
) -> Sequence[str]:
    return otherwise if stated is None else stated.get(phrase, ())


def _drawn(image_id: str) -> str:
    """What images are drawn by: pseudonyms may be in the order of the patients."""
    return hashlib.sha256(image_id.encode()).hexdigest()
