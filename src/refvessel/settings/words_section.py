"""What is asked to find out whether a model reads the words."""

from typing import Annotated

from pydantic import Strict, StringConstraints

from refvessel.settings.section import Distinct, Section, setting

Phrase = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
_Phrases = Annotated[tuple[Phrase, ...], Strict(False), Distinct]
_InOtherWords = dict[Phrase, _Phrases]


class Words(Section):
    """Phrases that are asked beside those of the data set, to find out whether a model reads the words."""

    absent: _Phrases | None = setting(
        None,
        "Phrases of which no image shows anything: the answer should be empty. Null is a bicycle and a traffic "
        "light.",
    )
    paraphrases: _InOtherWords | None = setting(
        None,
        "Phrase of the data set -> others of the same meaning: the answer should be the same. Null puts `the` and "
        "`every` before each.",
    )
    translations: _InOtherWords | None = setting(
        None,
        "Phrase of the data set -> the same in other languages. Null is German, French and Spanish of some "
        "phrases about vessels, such as blood vessel.",
    )
    images: int | None = setting(
        None,
        "Images about which they are asked, drawn alike for every model; null is all of the split.",
        ge=1,
    )
