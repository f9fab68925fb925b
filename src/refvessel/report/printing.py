"""Text of others, in a form that every reader of the report can show."""

import re

_SPACES = re.compile(r"[\t\n\v\f\r\x1c-\x1f\x85\u2028\u2029]+")
# Other controls, halves of pairs and non-characters, none of which XML allows or TeX reads; and the controls that
# turn the direction of the text around them, which would let a phrase rewrite the sentence that it stands in.
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef"
    + "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000))
    + "]"
)


def printable(text: str) -> str:
    r"""The text on one line, with every character that cannot be shown written out, as \x07 or \u202e."""
    return _HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode(), _SPACES.sub(" ", text))


def shortened(text: str, length: int) -> str:
    """Printable text of at most `length` characters, the last of which says that there were more."""
    shown = printable(text)
    return shown if len(shown) <= length else f"{shown[: length - 1]}…"
