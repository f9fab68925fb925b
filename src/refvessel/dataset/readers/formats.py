"""The formats that can be read, by the names that the configuration and the command line use."""

import inspect
from collections.abc import Iterator, Mapping, Set
from importlib import import_module
from pathlib import Path
from typing import Any

from refvessel.dataset.problems import Problems
from refvessel.dataset.readers import FORMATS
from refvessel.dataset.readers.records import Reader, Record
from refvessel.errors import UserError
from refvessel.settings.public_layouts import LAYOUTS

_LEFT_OUT = "left_out"  # the parameter of a reader that is no option

_MODULES = {"images": "image_folder"}  # where a format is not the name of its module: another is called so


def reader_of(source_format: str) -> Reader:
    """The reader of a format; no other is imported, since some need large libraries."""
    module = import_module(f"refvessel.dataset.readers.{_MODULES.get(source_format, source_format)}")
    reader: Reader = module.read
    return reader


def read_records(
    source_format: str,
    root: Path,
    options: Mapping[str, Any],
    problems: Problems,
    left_out: Set[str] = frozenset(),
) -> Iterator[Record]:
    """The records under `root`.

    `options` are the keyword arguments of the format's reader; `layout`, a key of LAYOUTS, stands for those that
    it lists, each of which may be given as well and then wins. Of the labels `left_out` nothing is asked, so a
    reader that takes them need not read their shapes. Raises UserError where a name is unknown.
    """
    if source_format not in FORMATS:
        raise UserError(f"The format {source_format!r} is unknown; choose one of: {', '.join(FORMATS)}.")
    given = {name: value for name, value in options.items() if value is not None}
    layout = given.pop("layout", None)
    if layout is not None:
        given = _layout(source_format, layout) | given
    reader = reader_of(source_format)
    parameters = inspect.signature(reader).parameters
    known = [
        name for name, each in parameters.items() if each.kind is each.KEYWORD_ONLY and name != _LEFT_OUT
    ]
    if unknown := sorted(given.keys() - set(known)):
        raise UserError(
            f"The format {source_format!r} has no option {unknown[0]!r}; it has: {', '.join(known) or 'none'}."
        )
    if _LEFT_OUT in parameters:
        given[_LEFT_OUT] = left_out
    return reader(root, problems, **given)


def _layout(source_format: str, layout: str) -> dict[str, Any]:
    if layout not in LAYOUTS:
        raise UserError(f"The layout {layout!r} is unknown; choose one of: {', '.join(sorted(LAYOUTS))}.")
    layout_format, options = LAYOUTS[layout]
    if layout_format != source_format:
        raise UserError(f"The layout {layout!r} is of the format {layout_format!r}, not {source_format!r}.")
    return options
