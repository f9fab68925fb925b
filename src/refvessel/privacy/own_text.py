"""The report's own words: what its templates, captions and findings say whoever was examined.

They are read from the sources that say them, so that a new sentence needs no entry here.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from babel.messages.pofile import read_po

from refvessel.privacy.markup import pieces_of_markup
from refvessel.privacy.normal import IDEOGRAPH, normal_form
from refvessel.privacy.pieces import COUNT, HEADER, IDENTIFYING, Piece

_PACKAGE = Path(__file__).parents[1]
_TEMPLATES = _PACKAGE / "report" / "templates"
_TRANSLATIONS = _PACKAGE / "report" / "translations"
_SPEAKING = (
    "checkpoint",
    "crate",
    "dataset",
    "evaluation",
    "inference",
    "metrics",
    "report",
)  # subpackages whose sentences reach what is published
_HOLE = "\ue000"  # stands for data within a sentence
_PLACEHOLDER = re.compile(r"%\(\w+\)[^A-Za-z%]*[A-Za-z]")  # of a message
_EXPRESSION = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_MESSAGE = re.compile(r'\{\{ _\("([^"]*)"\) \}\}')
_STATEMENT = re.compile(r"\{[%#].*?[%#]\}", re.DOTALL)
_RUN = re.compile(f"{IDEOGRAPH.pattern}+")
_QUOTED = re.compile(r'"([^"]*)"')
_LOOKS = frozenset(
    {"color", "marker", "linestyle", "markeredgecolor", "weight", "loc", "colors"}
)  # of matplotlib
# Words that a template capitalises, a figure's title begins with, or Matplotlib writes into its files.
_SHOWN = (
    "note",
    "warning",
    "best",
    "median",
    "worst",
    "created with matplotlib",
    "image svg xml",
    "matplotlib",
)
_OF_RANKS = frozenset((rank, word) for rank in ("best", "median", "worst") for word in ("image", "dice"))
_LONGEST_COUNT = 6  # digits of a count in running text
_SHORTEST = 4  # characters of what is searched for
_FEW_WORDS = 4  # a cell of that many is a sentence
_WEIGHTS = frozenset({"pth", "pt", "bin", "safetensors"})  # iter_3672.pth is no patient 3672


@dataclass(frozen=True)
class OwnText:
    """What stands in every report.

    `pairs`: neighbouring words of its sentences; `alone`: words between two gaps of one; `whole`: words that are a
    text node of their own; `before`, `after`: words beside a gap; `vocabulary`: words of columns, keys, settings;
    `runs`: what translations have of ideographs, without a break.
    """

    pairs: frozenset[tuple[str, str]]
    alone: frozenset[str]
    whole: frozenset[str]
    before: frozenset[str]
    after: frozenset[str]
    vocabulary: frozenset[str]
    runs: frozenset[str]

    def says_within(self, line: str, start: int, end: int) -> bool:
        """True if the ideographs from `start` to `end` of a `line` (in normal form) are of a run of the report."""
        term = line[start:end]
        return any(
            line.startswith(run, start - found.start())
            for run in self.runs
            if term in run
            for found in re.finditer(f"(?={re.escape(term)})", run)
            if found.start() <= start
        )

    def says(self, line: str, start: int, end: int, piece: Piece) -> bool:
        """True if the word from `start` to `end` of a piece's `line` (in normal form) is the report's own."""
        word, previous, following = line[start:end], _last(line[:start]), _first(line[end:])
        if piece.field not in (None, HEADER) and line == word:
            return self._is_value(word, piece)
        if (previous, word) in self.pairs or (word, following) in self.pairs:
            return True
        if piece.field == HEADER:
            names_of_fields = self.vocabulary.issuperset(line.split())
            return word in self.vocabulary and (names_of_fields or previous not in IDENTIFYING)
        if word.isdecimal():
            return piece.field == COUNT or self._is_count(word, previous, following)
        if line == word:
            return word in self.whole
        words = line.split()
        if piece.field is not None and self._is_field(piece.field) and all(map(self._is_setting, words)):
            return True
        return word in self.alone and (piece.field is None or len(words) >= _FEW_WORDS)

    def _is_setting(self, word: str) -> bool:
        return word in self.vocabulary or word.isdecimal() or len(word) < _SHORTEST

    def _is_value(self, word: str, piece: Piece) -> bool:
        if piece.quoted and word.isdecimal():
            return False
        return self._is_field(piece.field or "") and (word.isdecimal() or word in self.vocabulary)

    def _is_field(self, field: str) -> bool:
        parts = [part for part in field.split(".") if not part.strip().isdecimal()]
        words = normal_form(parts[-1]).split() if parts else []
        return bool(words) and words[-1] not in IDENTIFYING and all(word in self.vocabulary for word in words)

    def _is_count(self, word: str, previous: str, following: str) -> bool:
        if following in _WEIGHTS:
            return True
        gap = previous in self.before or following in self.after
        return gap and len(word) <= _LONGEST_COUNT and previous not in IDENTIFYING


@cache
def own_text() -> OwnText:
    """The own text of the reports that this version writes."""
    gapped = [*_templates(), *_SHOWN]
    constants: list[str] = []
    fields: list[str] = []
    for path in sorted(_PACKAGE.rglob("*.py")):
        said = _literals(path)
        fields += said.fields
        fields += [text for text in said.constants if _HOLE not in text]
        if path.relative_to(_PACKAGE).parts[0] in _SPEAKING:
            gapped += filter(_is_sentence, said.constants)
        if path.parent.name == "report":
            constants += [text for text in said.constants if text.isalpha()]
    return _assembled(gapped, constants, fields)


@cache
def own_sentences() -> tuple[str, ...]:
    """What the page and its captions say between their gaps: what a name can be mistaken for."""
    said = [*_templates(), *_SHOWN]
    for path in sorted((_PACKAGE / "report").glob("*.py")):
        said += [text for text in _literals(path).constants if _is_sentence(text)]
    return tuple(dict.fromkeys(part for text in said for part in text.split(_HOLE) if part.strip()))


def _assembled(gapped: Iterable[str], shown: Iterable[str], fields: Iterable[str]) -> OwnText:
    pairs = set(_OF_RANKS)
    alone: set[str] = set()
    whole: set[str] = set()
    before: set[str] = set()
    after: set[str] = set()
    for text in gapped:
        parts = [normal_form(part).split() for part in text.split(_HOLE)]
        for number, words in enumerate(parts):
            pairs.update(pairwise(words))
            if not words:
                continue
            if number:
                after.add(words[0])
            if number < len(parts) - 1:
                before.add(words[-1])
            if len(words) == 1:
                (alone if len(parts) > 1 else whole).add(words[0])
    pairs |= {("by", normal_form(text)) for text in shown if text.istitle()}  # scores by phrase
    whole |= {word for text in shown for word in normal_form(text).split()}
    vocabulary = {word for text in fields for word in normal_form(text).split()} | {HEADER, COUNT}
    kinds = (alone, whole, before, after, vocabulary, _runs())
    return OwnText(frozenset(pairs), *map(frozenset, kinds))


def _runs() -> Iterator[str]:
    for path in _TRANSLATIONS.glob("*.po"):
        with path.open("rb") as file:
            for message in read_po(file, locale=path.stem):
                forms = (
                    message.string if isinstance(message.string, tuple | list) else (message.string or "",)
                )
                yield from (run for form in forms for run in _RUN.findall(normal_form(_without_gaps(form))))


def _without_gaps(text: str) -> str:
    return _PLACEHOLDER.sub(_HOLE, text)


def _templates() -> Iterator[str]:
    """The texts of the templates with a hole for each expression, as a page shows them."""
    for path in sorted([*_TEMPLATES.glob("*.html"), *_TEMPLATES.glob("*.md")]):
        source = _MESSAGE.sub(r"\1", path.read_text("utf-8"))
        for gap in ("", _HOLE):  # a condition may add words or none
            filled = _STATEMENT.sub(gap, _EXPRESSION.sub(_HOLE, source))
            yield from (piece.text for piece in pieces_of_markup(filled, ""))
        for code in (*_EXPRESSION.findall(source), *_STATEMENT.findall(source)):
            said = (_without_gaps(text) for text in _QUOTED.findall(code))
            yield from (f"{_HOLE}{text}{_HOLE}" for text in said)
    for element, suffix in (("style", "css"), ("script", "js")):
        for path in sorted(_TEMPLATES.glob(f"*.{suffix}")):
            text = f"<{element}>{path.read_text('utf-8')}</{element}>"
            yield from (piece.text for piece in pieces_of_markup(text, ""))


def _literals(path: Path) -> "_Literals":
    said = _Literals()
    said.visit(ast.parse(path.read_text("utf-8")))
    return said


def _is_sentence(text: str) -> bool:
    return _HOLE in text or " " in normal_form(text)


class _Literals(ast.NodeVisitor):
    """The texts of a module: `constants` (of f-strings with holes) and names of `fields`; no docstrings."""

    def __init__(self) -> None:
        self.constants: list[str] = []
        self.fields: list[str] = []

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring
            self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg not in _LOOKS:
            self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if isinstance(node.target, ast.Name):
            self.fields.append(node.target.id)
        self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        self.constants.append(
            "".join(str(part.value) if isinstance(part, ast.Constant) else _HOLE for part in node.values)
        )
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                self.visit(part.value)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self.constants.append(_without_gaps(node.value))


def _last(text: str) -> str:
    return text.rpartition(" ")[2] if not text.endswith(" ") else text[:-1].rpartition(" ")[2]


def _first(text: str) -> str:
    return text.lstrip(" ").partition(" ")[0]
