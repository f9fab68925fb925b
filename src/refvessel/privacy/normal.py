"""The one form in which names and texts are compared."""

import re
import unicodedata

# Of scripts that set no blanks between words.
IDEOGRAPH = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]")
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
)
_FLOAT_OF_AN_ID = re.compile(r"(?<![\d.])(\d{5,})\.0+(?![\d.])")
_POINT = re.compile(r"(?<=\d)\.(?=\d)")
_BETWEEN_WORDS = re.compile(r"[\W_]+")


def normal_form(text: str) -> str:
    """`text` in one case and one Unicode form, one blank for all that is neither letter nor digit.

    `ZHANG^Wei`, `zhang-wei` and `Zhang_Wei` become the same. A decimal stays one word with a `p` for its point, so
    0.8153 is no 8153 and 1.000 no 1000; a whole number that a table stores as a decimal (81537.0) is whole again.
    """
    folded = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)).casefold()
    if "." in folded:
        folded = _POINT.sub("p", _FLOAT_OF_AN_ID.sub(r"\1", folded))
    return _BETWEEN_WORDS.sub(" ", unicodedata.normalize("NFC", folded)).strip(" ")
