"""Tensors in a terminal: grouped by module, in columns."""

import re
from collections.abc import Sequence


def module_pattern(name: str) -> str:
    """A tensor's name with every index as `*`: tensors of equal layers share it."""
    return re.sub(r"(?<=\.)\d+(?=\.)", "*", name)


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of aligned columns, two blanks between them."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (header, *rows)
    ]
