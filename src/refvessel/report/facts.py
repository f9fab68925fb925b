"""A JSON document as lines that can be printed."""

from typing import Any

from refvessel.report.wording import worded
from refvessel.settings.published import WITHHELD

_MOST_ENTRIES = 40  # of an object or list; a longer one is named by its length


def facts(document: Any, path: str = "") -> list[tuple[str, str]]:
    """The document's values with their dotted paths, in its order; long lists are named, not listed."""
    if not isinstance(document, dict | list) or not document:
        known = worded("none") if document in (None, {}, []) else str(document)
        return [(path, worded(WITHHELD) if document == WITHHELD else known)]
    if len(document) > _MOST_ENTRIES:
        return [(path, worded("%(n)s entries, listed in the file", n=len(document)))]
    entries = document.items() if isinstance(document, dict) else enumerate(document, start=1)
    return [line for key, value in entries for line in facts(value, f"{path}.{key}" if path else str(key))]
