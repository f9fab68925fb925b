"""The folder that a conversion writes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from refvessel.artifacts import CONVERSION
from refvessel.errors import UserError


def check_output(output: Path, inputs: Sequence[Path]) -> None:
    """Raise UserError where writing `output` would replace anything but an earlier conversion."""
    resolved = output.resolve()
    if any(resolved in path.resolve().parents or resolved == path.resolve() for path in inputs):
        raise UserError(f"{output} holds the inputs of the conversion; choose another output.")
    if output.exists() and not output.is_dir():
        raise UserError(f"{output} is a file; choose another output.")
    if output.exists() and any(output.iterdir()) and not (output / CONVERSION).is_file():
        raise UserError(f"{output} holds something else than an earlier conversion; choose another output.")


def json_bytes(value: Any, source: Path, **options: Any) -> bytes:
    """`value` as a JSON file holds it; raises UserError, naming `source`, where JSON in UTF-8 cannot hold it."""
    try:
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, **options)
        return (text + "\n").encode()
    except ValueError as error:  # half a character of UTF-16, NaN, infinity
        raise UserError(f"{source} holds what a JSON file cannot ({error}); copy it again.") from None
