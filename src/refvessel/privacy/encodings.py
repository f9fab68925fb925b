"""What a text says under its escapes, and the files and texts that it embeds as base64 or hexadecimal digits."""

import base64
import binascii
import html
import quopri
import re
import unicodedata
import urllib.parse
from collections.abc import Iterator

# The run lengths of masks look like words and say nothing.
_RUN_LENGTHS = re.compile(r'counts(?:\\*"|"")?\s*:\s*(?:\\*"|"")[0-o\\]*')
_LINE = r"[A-Za-z0-9+/_-]"
_BASE64 = re.compile(rf"{_LINE}{{6,}}(?:\s+{_LINE}{{16,}})*(?:\s+{_LINE}+)?={{0,2}}")
_SHORTEST_FILE = 60  # bytes
_FILE = re.compile(r"[A-Za-z0-9+/]{60,}(?:\s+[A-Za-z0-9+/]{60,})*(?:\s+[A-Za-z0-9+/]+)?={0,2}")
_SHORTEST_RUN = 6  # characters
# What may stand between two words of base64: its own alphabet holds the separators of paths and names.
_SEPARATORS = (r"\s+", r"[\s+/]+", r"[\s_-]+", r"[\s+/_-]+")
_HEXADECIMAL = re.compile(r"(?:[0-9a-fA-F]{2}[ :]?){6,}")
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})|\\U([0-9a-fA-F]{8})")
_QUOTED_PRINTABLE = re.compile(r"=[0-9A-F]{2}")
_ACCENT = re.compile(r"""\{?\\(?:(["'`^~=.])\s*\{?|([cvuHkr])(?:\s+|\{))\\?([A-Za-z])\}?\}?""")
_COMBINING = dict(
    zip(
        "\"'`^~=.cvuHkr",
        "\u0308\u0301\u0300\u0302\u0303\u0304\u0307\u0327\u030c\u0306\u030b\u0328\u030a",
        strict=True,
    )
)
_LONGEST_WORD = 1 << 12  # characters; what is longer is a file


def without_run_lengths(text: str) -> str:
    """`text` without the counts of COCO's run-length encoding."""
    return _RUN_LENGTHS.sub(" ", text) if "counts" in text else text


def without_files(text: str) -> str:
    """`text` without the files that it embeds as base64, whose characters spell words by chance."""
    return _FILE.sub(_blank_where_base64, text) if len(text) > _SHORTEST_FILE else text


def readings(text: str) -> Iterator[str]:
    """`text`, and what it says where its escapes (URL, HTML, JSON, LaTeX, quoted-printable) are resolved."""
    yield text
    decoded = _ESCAPE.sub(_character, text) if "\\" in text else text
    if "%" in decoded or "&" in decoded:
        # Twice: a link in a page may be escaped for both.
        decoded = html.unescape(urllib.parse.unquote(html.unescape(decoded)))
        decoded = urllib.parse.unquote(decoded)
    if decoded != text:
        yield decoded
    if "\\" in text and (accented := with_accents(text)) != text:
        yield accented
    if _QUOTED_PRINTABLE.search(text):
        yield quopri.decodestring(text.encode("utf-8")).decode("utf-8", "replace")


def with_accents(text: str) -> str:
    """`text` with LaTeX's accents as the letters that they print."""
    return _ACCENT.sub(_accented, text)


def embedded(text: str) -> Iterator[bytes]:
    """The files and texts that `text` holds as base64 (in one line or wrapped) or as hexadecimal digits.

    A word may happen to be either: what decodes to no text is given only where it is as long as a file.
    """
    for run in _BASE64.findall(text):
        joined = re.sub(r"\s", "", run)
        for content in _decoded_base64(joined):
            if len(content) >= _SHORTEST_FILE or is_readable(content):
                yield content
        if len(joined) <= _LONGEST_WORD:
            words = {word for separators in _SEPARATORS for word in re.split(separators, run)} - {joined}
            contents = (content for word in sorted(words) for content in _decoded_base64(word))
            yield from filter(is_readable, contents)
    for run in _HEXADECIMAL.findall(text):
        content = bytes.fromhex(re.sub(r"[ :]", "", run))
        if is_readable(content):
            yield content


def is_readable(content: bytes) -> bool:
    """True if bytes are text that a person could have written: UTF-8 or UTF-16 without control characters."""
    encodings = ("utf-8", "utf-16-le", "utf-16-be") if b"\0" in content else ("utf-8",)
    for encoding in encodings:
        try:
            if is_printable(content.decode(encoding)):
                return True
        except UnicodeDecodeError:
            continue
    return False


def is_printable(text: str) -> bool:
    """True if a text has no control characters but line ends and tabs."""
    return text.isprintable() or all(
        character in "\t\n\r\f\ufeff" or unicodedata.category(character) not in ("Cc", "Cs", "Cn", "Co")
        for character in text
    )


def _decoded_base64(run: str) -> Iterator[bytes]:
    run = run.rstrip("=")
    if len(run) < _SHORTEST_RUN:
        return
    if len(run) % 4 == 1:
        run = run[:-1]
    standard = run.replace("-", "+").replace("_", "/")
    try:
        yield base64.b64decode(standard + "=" * (-len(run) % 4), validate=True)
    except binascii.Error:
        return


def _blank_where_base64(match: re.Match[str]) -> str:
    digits = re.sub(r"[\s=]", "", match[0])
    return match[0] if len(digits) * 3 < _SHORTEST_FILE * 4 or len(digits) % 4 == 1 else " "


def _character(match: re.Match[str]) -> str:
    code = int(match[1] or match[2] or match[3], 16)
    return chr(code) if code < 0x110000 else match[0]


def _accented(match: re.Match[str]) -> str:
    return unicodedata.normalize("NFC", match[3] + _COMBINING[match[1] or match[2]])
