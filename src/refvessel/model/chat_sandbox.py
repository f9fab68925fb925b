"""Renders one chat template in a process of its own, in the library's sandbox and with little of all else.

It is run as a file, without the package: what it takes comes as JSON by standard input, what it makes goes to
standard output.
"""

import json
import resource
import sys
from typing import Any

_SECONDS = 2  # of computing
_BYTES = 1 << 30  # of memory


def _limit() -> None:
    """No template computes long, takes much memory, or writes a file."""
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (_BYTES, _BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))


def _refuse(message: str) -> None:
    """What templates call where they cannot render."""
    raise ValueError(message)


def render(template: str, variables: dict[str, Any]) -> str:
    """The text that a template makes of variables, in the environment that the library renders chats in."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
    environment.globals["raise_exception"] = _refuse
    return environment.from_string(template).render(**variables)


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    sys.path += asked["libraries"]
    _limit()
    try:
        answer = {"text": render(asked["template"], asked["variables"])}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    json.dump(answer, sys.stdout)
