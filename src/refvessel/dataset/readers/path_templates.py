"""Path templates: `{split}/images/{name}.tif` matches files and says what their names mean.

`{field}` stands for one or more characters other than `/`, `{field:[LR]}` for what a regular expression (without
braces) matches. A field that occurs twice has one value. Letters match in either case.
"""

import re
from collections.abc import Mapping

from refvessel.errors import UserError
from refvessel.patterns import BoundedPattern

_FIELD = re.compile(r"\{(\w+)(?::([^{}]+))?\}")


class PathTemplate:
    """A template for paths below a folder, in POSIX form; raises UserError where it is none."""

    def __init__(self, template: str, option: str) -> None:
        if not isinstance(template, str) or not template:
            raise UserError(f"The option {option} must be a path template, not {template!r:.80}; correct it.")
        self._template = template
        self.fields: set[str] = set()
        pattern, end = "", 0
        for match in _FIELD.finditer(template):
            field, expression = match.groups()
            pattern += re.escape(template[end : match.start()])
            pattern += f"(?P={field})" if field in self.fields else f"(?P<{field}>{expression or '[^/]+?'})"
            self.fields.add(field)
            end = match.end()
        self._pattern = BoundedPattern(
            pattern + re.escape(template[end:]),
            f"The option {option} {template!r}",
            "path template",
            ignore_case=True,
        )

    def match(self, path: str) -> dict[str, str] | None:
        """The values of the fields in `path`, or None where the template is about other files."""
        match = self._pattern.fullmatch(path)
        return match and match.groupdict()

    def fill(self, values: Mapping[str, str], option: str) -> str:
        """The template with values for its fields; raises UserError where one has none."""
        missing = self.fields - values.keys()
        if missing:
            raise UserError(
                f"The option {option} {self._template!r} uses {{{min(missing)}}}, which no file name gives; "
                f"choose from: {', '.join(sorted(values)) or 'nothing'}."
            )
        return _FIELD.sub(lambda match: values[match[1]], self._template)
