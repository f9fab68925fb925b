"""JSON files with lists that are longer than memory, read and written item by item."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from refvessel.files import atomic_file, parse_json, require_content, unreadable_is_a_user_error

# Called with an item, the byte of the file at which it begins, and the one behind it.
Visit = Callable[[Any, int, int], None]

_AT_ONCE = 1 << 20  # bytes
_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class ReadWholeError(Exception):
    """The file cannot be read item by item: what is wrong with it, if anything is, its whole tells."""


def read_around_lists(path: Path, lists: Mapping[str, Visit]) -> dict[str, Any]:
    """The object in a JSON file without some of its lists, whose items are visited in their order.

    Args:
        path: of the file, in UTF-8.
        lists: by field of the object, what gets the items; a field that is no list is returned with the others.

    Raises:
        ReadWholeError: where the file is damaged, has a field twice or another encoding, or holds no object. Some
            items may have been visited.
        UserError: where the file cannot be read.
    """
    with unreadable_is_a_user_error(path):
        require_content(path)
        with Path(path).open("rb") as stream:
            return dict(_fields(_Text(stream, str(path)), lists))


def ignored(item: Any, begin: int, end: int) -> None:
    """Visit an item of a list that nobody wants."""


def _fields(text: "_Text", lists: Mapping[str, Visit]) -> Iterator[tuple[str, Any]]:
    """The fields that are no visited lists."""
    text.take("{")
    found: set[str] = set()
    while text.next() != "}":
        if found:
            text.take(",")
        name, *_ = text.value()
        if not isinstance(name, str) or name in found:
            raise ReadWholeError
        found.add(name)
        text.take(":")
        if name in lists and text.next() == "[":
            _visit(text, lists[name])
        else:
            yield name, text.value()[0]
    text.take("}")
    if text.next():
        raise ReadWholeError


def _visit(text: "_Text", visit: Visit) -> None:
    text.take("[")
    first = True
    while text.next() != "]":
        if not first:
            text.take(",")
        first = False
        visit(*text.value())
    text.take("]")


class _Text:
    """What stands next in a stream of JSON; as Latin-1, in which a character is a byte."""

    def __init__(self, stream: IO[bytes], what: str) -> None:
        self._stream, self._what = stream, what
        begin = stream.read(_AT_ONCE)
        self._first = len(_BYTE_ORDER_MARK) if begin.startswith(_BYTE_ORDER_MARK) else 0  # byte of the text
        self._text = begin[self._first :].decode("latin-1")
        self._at = 0

    def next(self) -> str:
        """The next character that is no space, "" at the end."""
        while True:
            match = _SPACE.match(self._text, self._at)
            assert match
            self._at = match.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def take(self, character: str) -> None:
        """Go past this character, which must be the next."""
        if self.next() != character:
            raise ReadWholeError
        self._at += 1

    def value(self) -> tuple[Any, int, int]:
        """The next value, the byte at which it begins and the one behind it."""
        self.next()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except (ValueError, RecursionError):
                value, end = None, len(self._text)
            # Something follows, and it is not the rest of a number.
            if end < len(self._text) and self._text[end] not in ".eE":
                break
            if not self._more():
                raise ReadWholeError
        raw = self._text[self._at : end]
        if not raw.isascii() or "\\u" in raw:
            value = parse_json(raw.encode("latin-1"), self._what)
        begin, self._at = self._first + self._at, end
        return value, begin, self._first + end

    def _more(self) -> bool:
        """Read on, as much again as is not used yet: a long value is tried few times. False at the end."""
        chunk = self._stream.read(max(_AT_ONCE, len(self._text) - self._at))
        self._text = self._text[self._at :] + chunk.decode("latin-1")
        self._first, self._at = self._first + self._at, 0
        return bool(chunk)


def write_long_json(path: Path, value: Any) -> None:
    """Write what `write_json` would, atomically; an iterator, or one in a field, is written as a list.

    No more than an item of it is in memory.
    """
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        if isinstance(value, Iterator):
            stream.writelines(_list(value, ""))
        else:
            stream.writelines(_object(value))
        stream.write("\n")


def _object(value: Mapping[str, Any]) -> Iterator[str]:
    separator = "{\n  "
    for name, field in value.items():
        yield f"{separator}{_written(name, '')}: "
        if isinstance(field, Iterator):
            yield from _list(field, "  ")
        else:
            yield _written(field, "  ")
        separator = ",\n  "
    yield "{}" if not value else "\n}"


def _list(items: Iterator[Any], indent: str) -> Iterator[str]:
    separator = "["
    for item in items:
        yield f"{separator}\n{indent}  {_written(item, f'{indent}  ')}"
        separator = ","
    yield "[]" if separator == "[" else f"\n{indent}]"


def _written(value: Any, indent: str) -> str:
    """A value as it stands in a file at this indent; the lines of JSON never end within a text."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    return text.replace("\n", f"\n{indent}")
