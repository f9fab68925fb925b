"""The templates of the report's pages: how they are found and filled in, and how their text is translated."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from refvessel.report.printing import printable
from refvessel.report.wording import html_language, translation, worded

TEMPLATES = Path(__file__).parent / "templates"


def templates(**more: Any) -> Environment:
    """The templates, which escape what they are given and refuse what they are not; `more` is Jinja's.

    Text between `trans` and `endtrans`, and what `_` is given, is in the report's language. What `_` returns
    is not escaped, so it takes no names from artifacts: those that are translated go through the filter `worded`.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        extensions=["jinja2.ext.i18n"],
        **more,
    )
    environment.newstyle_gettext = True  # type: ignore[attr-defined]
    environment.globals |= {"gettext": _gettext, "ngettext": _ngettext, "html_language": html_language}
    environment.filters |= {"worded": worded}
    return environment


def shown(value: Any) -> Any:
    """What an expression of the templates gives; text of others comes escaped after this, markup is ours."""
    return printable(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _gettext(message: str, /, **values: Any) -> Markup:
    """The markup of a message; the values are escaped."""
    found = Markup(translation(message))
    return found % _printed(values) if values else Markup(found.replace("%%", "%"))


def _ngettext(one: str, many: str, n: int, /, **values: Any) -> Markup:
    return Markup(translation(one, many, n)) % _printed({"n": n} | values)


def _printed(values: dict[str, Any]) -> dict[str, Any]:
    return {name: shown(value) for name, value in values.items()}
