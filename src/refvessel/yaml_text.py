"""YAML from strangers: parsed within bounds, so that a small text can neither fill memory nor take hours.

A text of a kilobyte can stand for gigabytes: aliases repeat what they name, and aliases of aliases multiply. Here
every alias counts as what it repeats, before anything is built.
"""

from collections import Counter
from math import isfinite
from typing import Any

import yaml
from yaml.constructor import ConstructorError

from refvessel.errors import UserError

LARGEST_YAML = 1 << 20  # bytes of the text
_NODES = 100_000  # values, keys and containers, with what aliases repeat
_DEPTH = 50  # of containers within containers
_PLAIN = 1_000  # characters of an unquoted scalar: whether it is a number or a date is costly to find out
_MERGE = "tag:yaml.org,2002:merge"


def parse_yaml(text: str | bytes, what: str) -> Any:
    """The value of one YAML document: mappings, lists, text, numbers, dates, booleans and None.

    Raises UserError, beginning with `what`, where the text is not YAML, has a key twice, a number that is not
    finite, an alias of what it lies in, or is larger than a configuration can reasonably be.
    """
    if len(text) > LARGEST_YAML:
        raise UserError(
            f"{what} is longer than {LARGEST_YAML} bytes; a configuration is shorter, check the path."
        )
    try:
        _require_bounds(text, what)
        return yaml.load(text, _Loader)
    except UserError:
        raise
    # PyYAML answers values that do not fit their tags with nearly any exception.
    except Exception as error:
        raise UserError(f"{what} is not valid YAML ({' '.join(str(error).split())}); correct it.") from None


def _require_bounds(text: str | bytes, what: str) -> None:
    total = 0  # nodes so far
    sizes: dict[str | None, int] = {}  # anchor -> nodes that an alias of it repeats
    open_nodes: list[tuple[str | None, int]] = []  # anchor and `total` where each open container began
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in (anchor for anchor, _ in open_nodes):
                raise UserError(
                    f"{what} has the alias *{event.anchor} inside of what it names; write it out."
                )
            total += sizes.get(event.anchor, 1)
        elif isinstance(event, yaml.ScalarEvent):
            if (event.style is None or event.tag) and len(event.value) > _PLAIN:
                raise UserError(
                    f"{what} has an unquoted value of {len(event.value)} characters ({event.value[:20]}...); "
                    "quote or correct it."
                )
            if not _is_writable(event.value):
                raise UserError(f"{what} has half a character in {event.value!r:.80}; correct it.")
            total += 1
            sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, total))
            total += 1
            if len(open_nodes) > _DEPTH:
                raise UserError(f"{what} nests deeper than {_DEPTH} levels; correct it.")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            sizes[anchor] = total - before
        if total > _NODES:
            raise UserError(
                f"{what} has more than {_NODES} values, counting what its aliases repeat; shorten it."
            )


def _is_writable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


class _Loader(yaml.SafeLoader):
    """The safe loader, which refuses keys that occur twice and numbers that are not finite."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        counts = Counter((key.tag, key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        if twice := [key for (tag, key), count in counts.items() if count > 1 and tag != _MERGE]:
            raise ConstructorError(None, None, f"the key {twice[0]!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        number = super().construct_yaml_float(node)
        if not isfinite(number):
            raise ConstructorError(None, None, f"{node.value} is not a finite number", node.start_mark)
        return number


_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_yaml_float)
