"""Options that hold pairs."""

from refvessel.errors import UserError


def pairs(texts: list[str] | None, option: str) -> dict[str, str] | None:
    """NAME=VALUE as name -> value; raises UserError for a text that is not."""
    if not texts:
        return None
    named = dict(text.partition("=")[::2] for text in texts)
    if missing := sorted(key for key, value in named.items() if not (key and value)):
        raise UserError(f"{option} {missing[0]!r} is not of the form NAME=VALUE; write both sides.")
    return named
