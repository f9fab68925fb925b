"""Names of files whose characters are composed otherwise than an annotation has them, as macOS stores names."""

import unicodedata
from collections.abc import Iterator


def spellings(name: str) -> Iterator[str]:
    """A name as it is, then composed and decomposed (Unicode's forms NFC and NFD)."""
    yield name
    yield from (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
