"""The configuration as it may be published: all settings but paths, which can identify a person or a machine."""

from pathlib import Path
from typing import Any

from refvessel.sentences import marked
from refvessel.settings.whole import Settings

WITHHELD = marked("path, not published")


def published(settings: Settings) -> dict[str, Any]:
    """All settings, defaults written out, as JSON and YAML have them; in the place of a path stands WITHHELD."""
    plain = _without_paths(settings.model_dump(by_alias=True))
    return {name: value for name, value in plain.items() if name != "pathvars"}


def _without_paths(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _without_paths(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_without_paths(each) for each in value]
    return WITHHELD if isinstance(value, Path) else value
