"""Options that hold pairs."""

from typing import Any

from refvessel.errors import UserError
from refvessel.yaml_text import parse_yaml


def pairs(texts: list[str] | None, option: str) -> dict[str, str]:
    """NAME=VALUE as name -> value; raises UserError for a text that is not."""
    named = dict(text.partition("=")[::2] for text in texts or [])
    if missing := sorted(key for key, value in named.items() if not (key and value)):
        raise UserError(f"{option} {missing[0]!r} is not of the form NAME=VALUE; write both sides.")
    return named


def nested(texts: list[str] | None, option: str) -> dict[str, Any]:
    """NAME=VALUE with dotted names as a tree of texts; raises UserError for a name within another's value."""
    tree: dict[str, Any] = {}
    for key, text in pairs(texts, option).items():
        *parents, name = key.split(".")
        place = tree
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise UserError(f"{option} {key}={text} cannot be read; write one value, e.g. llm_lora.r=64.")
        place[name] = _without_quotes(text)
    return tree


def _without_quotes(text: str) -> str:
    """A text that is quoted for YAML as what it stands for."""
    quoted = len(text) > 1 and text[0] in "'\"" and text.endswith(text[0])
    return str(parse_yaml(text, text)) if quoted else text
