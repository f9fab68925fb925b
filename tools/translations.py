"""The report's texts in other languages: messages are extracted from the sources, translations written by hand.

python tools/translations.py    # adds what is new, without a translation, and takes away what nobody says any more
"""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po

import refvessel
from refvessel.report.wording import TRANSLATIONS, key_of

PACKAGE = Path(refvessel.__file__).parent
KEYWORDS = {
    "_": None,
    "english": None,
    "gettext": None,
    "marked": None,
    "ngettext": (1, 2),
    "sentence": None,
    "worded": None,
    "worded_n": (1, 2),
}
METHODS = {".html": "jinja2", ".js": "javascript", ".py": "python"}
_SPEAKING = (
    b"refvessel.report.wording",
    b"refvessel.sentences",
)  # modules that import one of these say something
_HEADER = """\
# The report's texts; docs/developing.md says how they are made (Languages).
msgid ""
msgstr ""
"Language: {language}\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"

"""
_WIDTH = 110
_OPTIONS = {"newstyle_gettext": "true", "silent": "false", "trim_blocks": "true", "lstrip_blocks": "true"}


def extracted() -> Catalog:
    """What the sources say, each message with the files that say it."""
    catalogue = Catalog()
    for path in sorted(path for path in PACKAGE.rglob("*") if path.suffix in METHODS):
        for message in _messages(path):
            catalogue.add(message, locations=[(path.relative_to(PACKAGE).as_posix(), 0)])
    return catalogue


def _messages(path: Path) -> Iterator[str | tuple[str, ...]]:
    content = path.read_bytes()
    if path.suffix == ".py" and not any(name in content for name in _SPEAKING):
        return
    for _, found, _, _ in extract(METHODS[path.suffix], BytesIO(content), KEYWORDS, options=_OPTIONS):
        yield key_of(found) if isinstance(found, str) else tuple(map(key_of, found))


def updated(language: str) -> bytes:
    """The catalogue of a language as the sources are: known translations stay, what nobody says any more goes."""
    with (TRANSLATIONS / f"{language}.po").open("rb") as file:
        known = read_po(file, locale=language)
    catalogue = Catalog(language, fuzzy=False)
    for message in extracted():
        if message.id:
            translated = known.get(message.id if isinstance(message.id, str) else message.id[0])
            catalogue.add(message.id, translated.string if translated else "", locations=message.locations)
    written = BytesIO()
    write_po(written, catalogue, width=_WIDTH, include_lineno=False, omit_header=True, sort_by_file=True)
    return _HEADER.format(language=language).encode() + written.getvalue()


if __name__ == "__main__":
    for path in sorted(TRANSLATIONS.glob("*.po")):
        path.write_bytes(updated(path.stem))
