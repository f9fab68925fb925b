"""Sentences of artifacts: English, and what they are made of, so that a report says them in its own language."""

from typing import Any


def sentence(message: str, **values: Any) -> dict[str, Any]:
    """The fields of a record that says something to a reader.

    Args:
        message: English with named placeholders, as `%(n)s of %(all)s`; a percent sign is doubled. It is an id of
            the catalogue in src/refvessel/report/translations.
        values: by the placeholders' names, as JSON has them; one may be such a record, or a list of them.

    Returns:
        text: the English sentence; message; values.
    """
    written = {name: _text(value) for name, value in values.items()}
    return {"text": message % written, "message": message, "values": values}


def english(message: str, **values: Any) -> str:
    """A sentence that a file stores as text alone: a report knows it again by its message, of `%(name)s` only."""
    return message % values


def marked(name: str) -> str:
    """The name or template as it is; a report in another language has a translation of it."""
    return name


def _text(value: Any) -> Any:
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return value["text"] if isinstance(value, dict) else value
