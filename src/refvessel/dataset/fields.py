"""Untrusted files and their fields: there and of the right type, or an error that names them."""

import math
import reprlib
from collections.abc import Mapping
from typing import Any

from refvessel.errors import UserError
from refvessel.rle import MOST_PIXELS

_MOST_BITS = 63  # of a whole number: what every table and array can hold
_NAMES = {dict: "an object", list: "a list", str: "text", int: "a whole number"}

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 3, 60, 60


def require(container: Any, key: str, kind: type, where: str) -> Any:
    """The value of `key`, an instance of `kind`; raises UserError where it is absent or of another type."""
    if not isinstance(container, Mapping):
        raise UserError(f"{where}: {shown(container)} stands where an object is needed; correct the file.")
    if key not in container:
        raise UserError(f"{where}: the field {key!r} is missing; add it.")
    return of_kind(container[key], kind, f"{where}: the field {key!r}")


def of_kind(value: Any, kind: type, what: str) -> Any:
    """`value` itself; raises UserError where it is no instance of `kind` (true and false are no numbers).

    Whole numbers beyond 64 bits are refused too; 96.0, as tables with gaps are written, is the whole number 96.
    """
    if kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise UserError(f"{what} must be {_NAMES[kind]}, not {shown(value)}; correct the file.")
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        raise UserError(f"{what} is a whole number of more than {_MOST_BITS} bits; correct the file.")
    return value


def shown(value: Any) -> str:
    """An untrusted value in a few characters, however large or deep it is."""
    try:
        return f"{_SHORT.repr(value):.40}"
    except ValueError:  # a whole number of more digits than Python writes
        return "a number of thousands of digits"


def positive_number(value: Any, what: str) -> float:
    """`value` as a float; raises UserError unless it is a finite number above zero."""
    if type(value) not in (int, float) or not 0 < value < math.inf:
        raise UserError(f"{what} must be a positive number, not {shown(value)}; correct it.")
    try:
        return float(value)
    except OverflowError:
        raise UserError(f"{what} must be a positive number, not {shown(value)}; correct it.") from None


def require_size(container: Any, width_key: str, height_key: str, where: str) -> tuple[int, int]:
    """(width, height) in pixels; raises UserError where a field is absent or no size of an image that opens."""
    width, height = require(container, width_key, int, where), require(container, height_key, int, where)
    if min(width, height) < 1:
        raise UserError(f"{where}: {width_key} x {height_key} is {width} x {height}; state positive sizes.")
    if width * height > MOST_PIXELS:
        raise UserError(
            f"{where}: {width_key} x {height_key} is {width} x {height}, more than the {MOST_PIXELS} pixels that "
            "an image may have; correct it."
        )
    return width, height


def optional_size(
    container: Mapping[str, Any], width_key: str, height_key: str, where: str
) -> tuple[int, int] | None:
    """What `require_size` returns, or None where both fields are absent or null."""
    if container.get(width_key) is None and container.get(height_key) is None:
        return None
    return require_size(container, width_key, height_key, where)


def optional_spacing(container: Mapping[str, Any], key: str, where: str) -> tuple[float, float] | None:
    """Millimetres per pixel, (between rows, between columns); None where the field is absent or null.

    Raises UserError where it is not a list of two positive numbers.
    """
    spacing = container.get(key)
    if spacing is None:
        return None
    numbers = isinstance(spacing, list) and all(type(value) in (int, float) for value in spacing)
    if not numbers or len(spacing) != 2 or not all(0 < value < math.inf for value in spacing):
        raise UserError(
            f"{where}: {key} must be two positive numbers (mm between rows, mm between columns), "
            f"not {shown(spacing)}; correct it."
        )
    rows, columns = (positive_number(value, f"{where}: {key}") for value in spacing)
    return rows, columns
