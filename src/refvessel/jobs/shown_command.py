"""The command of a run as it may be published: its options, and of their values none that could name somebody."""

import re
from collections.abc import Sequence
from pathlib import Path

VARIABLE = "REFVESSEL_COMMAND"  # of the environment, by which a run's jobs know it
WITHHELD = "…"
_SHOWN = re.compile(r"\d{1,6}|all|auto|unlimited")  # whatever it belongs to
_WORDS = re.compile(r"[a-z][a-z-]*")
_OF_WORDS = ("--executor", "-e", "--software-deployment-method", "--sdm", "--rerun-triggers")


def shown_command(arguments: Sequence[str]) -> str:
    """The program's name and its arguments: options as they are, of values numbers and what names a method.

    Paths, names and secrets, of which Snakemake's options may have any, become an ellipsis.
    """
    program, *rest = arguments
    name = Path(program).name
    words = [Path(program).parent.name if name == "__main__.py" else name]
    option = ""
    for argument in rest:
        if argument.startswith("-") and argument != "-":
            option, equals, value = argument.partition("=")
            words.append(f"{option}={_shown(option, value)}" if equals else option)
        else:
            words.append(_shown(option, argument))
    return " ".join(words)


def _shown(option: str, value: str) -> str:
    is_harmless = _SHOWN.fullmatch(value) or (option in _OF_WORDS and _WORDS.fullmatch(value))
    return value if is_harmless else WITHHELD
