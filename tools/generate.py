"""What is made from the settings: the JSON schema, the comments of `config.yaml`, the reference in `docs/`.

python tools/generate.py            # write what is stale
python tools/generate.py --check    # only tell; the exit status is 1 where something is
"""

import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from pydantic.fields import FieldInfo

from refvessel.dataset.readers import FORMATS
from refvessel.settings.dataset_section import Dataset
from refvessel.settings.section import Section, Stated
from refvessel.settings.whole import Settings

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = "workflow/schemas/config.schema.json"
CONFIG = "config.yaml"
REFERENCE = "docs/configuration.md"
WIDTH = 110

HEADER = f"""\
# yaml-language-server: $schema={SCHEMA}
#
# The embedded demo. It is read only where no --configfile is given: yours is complete in itself, and inherits
# nothing from here. Copy this file, put in your own models and data, and run
#   snakemake --cores all --configfile my.yaml
# The comments are made from the settings (`make generate`); docs/configuration.md has types and bounds, too.
"""
_BOUNDS = {"gt": "above {}", "ge": "{} or more", "lt": "below {}", "le": "{} at most"}


def generated() -> dict[str, str]:
    """Path in the project -> what its file must say."""
    return {
        SCHEMA: json.dumps(json_schema(), indent=2) + "\n",
        CONFIG: commented(yaml.safe_load((ROOT / CONFIG).read_text("utf-8"))),
        REFERENCE: reference(),
    }


def json_schema() -> dict[str, Any]:
    """The schema that editors complete keys from."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Settings.model_json_schema()
    schema["$defs"]["Dataset"]["properties"]["format"]["enum"] = list(FORMATS)
    return schema


def commented(values: dict[str, Any]) -> str:
    """A configuration with what each key means beside or above it."""
    return HEADER + "".join(f"\n{part}" for part in _parts(values))


def _parts(values: dict[str, Any]) -> Iterator[str]:
    for name, field in Settings.model_fields.items():
        if name in values:
            yield "\n".join(_lines(name, values[name], field, "")) + "\n"


def _lines(name: str, value: Any, field: FieldInfo | None, indent: str) -> Iterator[str]:
    section = _section(field.annotation) if field else None
    comment = f"{field.description}{_unit(field)}" if field else ""
    if isinstance(value, dict) and value:
        yield from _with_comment(f"{indent}{name}:", comment, indent)
        named = field is not None and get_origin(_bare(field.annotation)) is dict
        for key, each in value.items():
            if named and section is not None:
                yield f"{indent}  {key}:"
                for inner, content in each.items():
                    yield from _lines(inner, content, section.fields_by_key()[inner], f"{indent}    ")
            else:
                yield from _lines(key, each, section.fields_by_key()[key] if section else None, f"{indent}  ")
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        yield from _with_comment(f"{indent}{name}:", comment, indent)
        yield from (f"{indent}  - {_flow(each)}" for each in value)
    else:
        yield from _with_comment(f"{indent}{name}: {_flow(value)}", comment, indent)


def _with_comment(line: str, comment: str, indent: str) -> Iterator[str]:
    if comment and len(line) + len(comment) + 3 > WIDTH:
        yield from textwrap.wrap(
            comment,
            WIDTH,
            initial_indent=f"{indent}# ",
            subsequent_indent=f"{indent}# ",
            break_on_hyphens=False,
        )
        yield line
    else:
        yield f"{line} # {comment}" if comment else line


def _flow(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, str) and "\n" in value:  # PyYAML would break such a text over lines
        return json.dumps(value, ensure_ascii=False)
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False, allow_unicode=True)
    return text.removesuffix("...\n").strip()


def reference() -> str:
    """The reference of all keys."""
    parts = [
        "# Configuration",
        "",
        "<!-- Made from the settings by `make generate`; edit src/refvessel/settings/ instead. -->",
        "",
        "A configuration is a YAML file, complete in itself; an unknown key is an error. `--set KEY=VALUE` of a",
        "command and `--config` of Snakemake change single values. A key marked *free* changes no result: another",
        "value reruns nothing.",
    ]
    for name, field in Settings.model_fields.items():
        section = _section(field.annotation)
        named = get_origin(_bare(field.annotation)) is dict
        key = f"{name}.NAME" if named else name
        parts += ["", f"## {name}", "", str(field.description)]
        parts += ["", "| key | meaning | type | default |", "|---|---|---|---|"]
        parts += _rows(section, key)
    return "\n".join(parts) + "\n"


def _rows(section: type[Section] | None, key: str) -> Iterator[str]:
    if section is None:
        return
    for name, field in section.fields_by_key().items():
        inner = _section(field.annotation)
        absent = field.default is None and issubclass(section, Stated)
        default = "required" if field.is_required() else "" if absent else _default(field)
        extra = field.json_schema_extra
        free = " *Free.*" if isinstance(extra, dict) and "free" in extra else ""
        of_data = (section, name) == (Dataset, "format")
        kind = ", ".join(f"`{each}`" for each in FORMATS) if of_data else _type(field)
        cells = [f"`{key}.{name}`", f"{field.description}{free}", kind, default]
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"
        yield from _rows(inner, f"{key}.{name}")


def _default(field: FieldInfo) -> str:
    value = field.default.canonical() if isinstance(field.default, Section) else field.default
    if value in (None, {}, ()) and _section(field.annotation):
        return ""
    return f"`{_flow(list(value) if isinstance(value, tuple) else value)}`"


def _type(field: FieldInfo) -> str:
    """The values that a key may have, with their unit and bounds."""
    bounds = [
        text.format(getattr(each, bound))
        for each in field.metadata
        for bound, text in _BOUNDS.items()
        if hasattr(each, bound)
    ]
    extra = field.json_schema_extra
    unit = [str(extra["unit"])] if isinstance(extra, dict) and "unit" in extra else []
    return ", ".join([_kind(field.annotation), *unit, *bounds])


def _kind(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        limits = [
            text.format(getattr(each, bound))
            for info in arguments[1:]
            for each in getattr(info, "metadata", ())
            for bound, text in _BOUNDS.items()
            if hasattr(each, bound)
        ]
        return ", ".join([_kind(arguments[0]), *limits])
    if origin is Literal:
        return ", ".join(f"`{each}`" for each in arguments)
    if origin is dict:
        return f"mapping to {_kind(arguments[1])}"
    if origin is tuple:
        return f"list of {_kind(arguments[0])}"
    if arguments:
        kinds = [_kind(each) for each in arguments if not (each is int and float in arguments)]
        return " or ".join(kinds)
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return "section"
    names = {str: "text", int: "whole number", float: "number", bool: "`true`, `false`", Path: "path"}
    return names.get(annotation, "`null`" if annotation in (None, NoneType) else "any")


def _bare(annotation: Any) -> Any:
    """A type without what is annotated."""
    return _bare(get_args(annotation)[0]) if get_origin(annotation) is Annotated else annotation


def _section(annotation: Any) -> type[Section] | None:
    """The section that a key holds, perhaps by name or in a list."""
    bare = _bare(annotation)
    if isinstance(bare, type) and issubclass(bare, Section):
        return bare
    if get_origin(bare) is dict:
        return _section(get_args(bare)[1])
    held = get_args(bare)[:1] if get_origin(bare) in (tuple, UnionType) else ()
    return next(map(_section, held), None)


def _unit(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    return f" Unit: {extra['unit']}." if isinstance(extra, dict) and "unit" in extra else ""


def main() -> None:
    """Write, or with --check only name, what is stale."""
    stale = {
        path: text
        for path, text in generated().items()
        if not (ROOT / path).is_file() or (ROOT / path).read_text("utf-8") != text
    }
    if "--check" not in sys.argv:
        for path, text in stale.items():
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(text, "utf-8")
    print("\n".join(stale) or "Nothing is stale.")
    sys.exit(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    main()
