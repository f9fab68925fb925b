"""The language that a report is written in. English stands in the sources and is the key of its translations.

`translations/zh.po` has the Chinese; `tools/translations.py` extracts the messages of the sources into it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po

from refvessel.settings.report_section import ENGLISH

TRANSLATIONS = Path(__file__).parent / "translations"
_SCRIPT = ".js"
_CONVERTING = ("checkpoint/", "dataset/")  # rooms whose records have warnings
_PLACEHOLDER = re.compile(r"%\((\w+)\)s")
_COUNT = re.compile("([0-9]+) (image|patient)s?")
_TAGS = {"zh": "zh-Hans"}  # of the attribute `lang`, where it is not the language's name

_language: ContextVar[str] = ContextVar("language", default=ENGLISH)


@contextmanager
def written_in(language: str) -> Iterator[None]:
    """All that is worded inside is in this language, one of the settings' LANGUAGES."""
    token = _language.set(language)
    try:
        yield
    finally:
        _language.reset(token)


def html_language() -> str:
    """The value of the attribute `lang`."""
    return _TAGS.get(_language.get(), _language.get())


def worded(message: str, /, **values: Any) -> str:
    """The message in the report's language, filled in; in English where it has no translation.

    Args:
        message: English, with `%(name)s` for each of the values; with values, a percent sign is doubled.
        values: by the placeholders' names.
    """
    found = translation(message)
    return found % values if values else found


def worded_n(one: str, many: str, n: int, /, **values: Any) -> str:
    """As `worded`, the message for one or for `n`, which both may name as `%(n)s`."""
    return translation(one, many, n) % ({"n": n} | values)


def translation(one: str, many: str = "", n: int = 1, /) -> str:
    """The message as it is before values are filled in."""
    return _messages(_language.get()).get(key_of(one), one if n == 1 else many)


def worded_record(record: Mapping[str, Any]) -> str:
    """What a record of an artifact says (`refvessel.sentences`); those of earlier versions have English alone."""
    if "message" not in record:
        return str(record["text"])
    values = {name: _worded_value(value) for name, value in record["values"].items()}
    return translation(record["message"]) % values


def _worded_value(value: Any) -> Any:
    if isinstance(value, list):
        return worded(", ").join(map(_worded_value, value))
    return worded_record(value) if isinstance(value, dict) else value


def worded_like(templates: Iterable[str], text: str) -> str:
    """English text of an artifact that was made from one of the templates; as it is where it fits none."""
    for template in templates:
        if found := _pattern(template).fullmatch(text):
            return worded(template, **found.groupdict())
    return text


def worded_quoted(text: str) -> str:
    """A warning of a conversion, which its record has as English text."""
    language = _language.get()
    if language == ENGLISH:
        return text
    if found := _COUNT.fullmatch(text):
        one, many = f"%(n)s {found[2]}", f"%(n)s {found[2]}s"
        return worded_n(one, many, int(found[1]))
    for template in _stored_messages(language):
        if found := _pattern(template).fullmatch(text):
            return worded(
                template, **{name: worded_quoted(value) for name, value in found.groupdict().items()}
            )
    return worded(text)


@cache
def _stored_messages(language: str) -> list[str]:
    """The messages of conversions, those that say most by themselves first."""
    ids = [
        _first(message.id)
        for message in _catalogue(language)
        if any(file.startswith(_CONVERTING) for file, _ in message.locations)
    ]
    return sorted(ids, key=lambda each: -len(_PLACEHOLDER.sub("", each)))


@cache
def _pattern(template: str) -> re.Pattern[str]:
    parts = _PLACEHOLDER.split(template)
    return re.compile(
        "".join(f"(?P<{part}>.+)" if number % 2 else re.escape(part) for number, part in enumerate(parts)),
        re.DOTALL,
    )


def listed(words: Sequence[str]) -> str:
    """Words in a row, `and` before the last."""
    *some, last = words
    return worded("%(some)s and %(last)s", some=worded(", ").join(some), last=last) if some else last


def messages_of_scripts() -> dict[str, str]:
    """English -> the report's language, of what the page's scripts say; nothing of a report in English."""
    language = _language.get()
    return {} if language == ENGLISH else _read(language, scripts_alone=True)


def key_of(message: str) -> str:
    """A message as the catalogue has it: breaks of lines and indents are those of its template."""
    stripped = " ".join(message.split())
    return stripped or message


@cache
def _messages(language: str) -> dict[str, str]:
    return {} if language == ENGLISH else _read(language)


def _read(language: str, scripts_alone: bool = False) -> dict[str, str]:
    catalogue = _catalogue(language)
    return {
        _first(message.id): _first(message.string)
        for message in catalogue
        if message.id and _first(message.string)
        if not scripts_alone or any(file.endswith(_SCRIPT) for file, _ in message.locations)
    }


@cache
def _catalogue(language: str) -> Catalog:
    with (TRANSLATIONS / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language)


def _first(forms: str | Sequence[str] | None) -> str:
    """The singular of an id; of a translation the only form, as Chinese has one."""
    return forms if isinstance(forms, str) else (forms or [""])[0]
