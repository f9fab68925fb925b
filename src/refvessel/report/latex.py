r"""Tables for papers: LaTeX with booktabs that fits a column of a journal.

A row may take several lines: what a cell has besides its first line stands below it, smaller. Texts of others are
escaped, so that they print as they are and command nothing.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from refvessel.report.printing import printable, shortened

_LONGEST_NAME = 60  # characters; tables/*.csv has the whole
# Of the width of a column of 230 points: of the names beside four columns, and of an interval.
_NAMES, _MOST_COLUMNS, _COLUMN = 0.2, 4, 0.18
_MOST_ROWS = 40  # that one page takes
# Where a long word may be broken without a hyphen, as names of files are; printable text has no such character.
_BREAK = "\0"
_LONG = re.compile("([!-~]{8})(?=[!-~]{3})")
# A font may draw two of these as one longer sign.
_LIGATURE = re.compile(r"([-,])(?=\1)")

_SIGNS = {
    **{sign: f"\\{sign}" for sign in "{}$&#%_"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}",
    '"': r"\char34{}",  # the name of it is unknown to TeX's old text encoding, as the next three signs are
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    _BREAK: r"\allowbreak{}",
}
_ESCAPED = str.maketrans(_SIGNS)


@dataclass(frozen=True)
class Cell:
    """The lines of a cell, in LaTeX; `bold` is its first line."""

    lines: tuple[str, ...] = ()
    bold: bool = False


@dataclass(frozen=True)
class Row:
    """What a row is about, a text of others, and its cells."""

    name: str
    cells: Sequence[Cell]


def escaped(text: str) -> str:
    """Any text as LaTeX that prints it and commands nothing; long words may be broken without a hyphen."""
    broken = _LONG.sub(rf"\1{_BREAK}", printable(text))
    return _LIGATURE.sub(r"\1{}", broken.translate(_ESCAPED))


def latex_table(heading: str, columns: Sequence[str], rows: Sequence[Row], *, caption: str, name: str) -> str:
    """A table environment.

    Args:
        heading: What the names of the rows are, in LaTeX.
        columns: The headings of the cells, in LaTeX; four at most.
        rows: Names of at most 60 characters are printed whole, the first 40 rows are printed.
        caption: In LaTeX.
        name: The table's name; its label is `tab:NAME`.
    """
    shown = rows[:_MOST_ROWS]
    if left := len(rows) - len(shown):
        caption = f"{caption} {left} more rows are in {escaped(name)}.csv."
    width = _NAMES + (_MOST_COLUMNS - len(columns)) * _COLUMN
    return "\n".join(
        [
            r"% For \usepackage{booktabs}. Scripts that pdfLaTeX lacks need LuaLaTeX and a font that has them.",
            r"\begin{table}",
            r"\centering\footnotesize\setlength{\tabcolsep}{2pt}",
            rf"\caption{{{caption}}}",
            rf"\label{{tab:{name}}}",
            rf"\begin{{tabular}}{{@{{}}p{{{width:.2f}\columnwidth}}{'r' * len(columns)}@{{}}}}",
            r"\toprule",
            rf"{' & '.join([heading, *columns])} \\",
            r"\midrule",
            *(line for row in shown for line in _lines(row)),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _lines(row: Row) -> list[str]:
    """The lines of the table that a row takes."""
    name = rf"\raggedright {escaped(shortened(row.name, _LONGEST_NAME))}"
    height = max((len(cell.lines) for cell in row.cells), default=1)
    lines = []
    for number in range(height):
        cells = [_line_of(cell, number) for cell in row.cells]
        # TeX would take a star or a bracket after the line break before for an option of it.
        lines.append(rf"{' & '.join(['{}' if number else name, *cells])} \\")
    return lines


def _line_of(cell: Cell, number: int) -> str:
    if number >= len(cell.lines):
        return ""
    text = cell.lines[number]
    if number:
        return rf"{{\scriptsize {text}}}"
    return rf"\textbf{{{text}}}" if cell.bold else text
