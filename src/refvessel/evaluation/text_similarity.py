"""How alike two phrases are, for scorers that pair a predicted phrase with one of the truth."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refvessel.dataset.fields import of_kind, require, shown
from refvessel.dataset.problems import Problems
from refvessel.errors import UserError
from refvessel.files import read_json

_LISTS = ("overrides", "pairs")  # of a table, the stronger first


@dataclass(frozen=True)
class TextSimilarity:
    """A way to compare texts.

    description: which, in words, for the file of scores.
    of: the similarity of a text of the truth and a predicted one, 1 where they are equal.
    """

    description: str
    of: Callable[[str, str], float]


def exact_match() -> TextSimilarity:
    """1 where both texts are equal but for case and blanks at the ends, else 0: needs no model."""
    return TextSimilarity(
        "exact match: 1 where both texts are equal after lower-casing and stripping blanks, else 0 (the official "
        "script compares by bert-base-uncased, of which a folder can be given)",
        lambda truth, predicted: float(_normal(truth) == _normal(predicted)),
    )


def similarity_table(path: Path) -> TextSimilarity:
    """The similarities that a JSON file states; `exact_match` for pairs that it does not.

    The file holds `overrides` and `pairs`, either or both: lists of [text, text, similarity]. Overrides win; the
    order of the two texts, their case and blanks at their ends do not matter.

    Raises:
        UserError: naming all that is no such entry, and pairs that are stated twice with different values.
    """
    content = read_json(path)
    problems = Problems()
    stated: dict[frozenset[str], float] = {}
    known = [name for name in _LISTS if isinstance(content, dict) and name in content]
    if not known:
        raise UserError(
            f"{path} has neither overrides nor pairs; list [text, text, similarity] in one of them."
        )
    for name in reversed(known):
        of_list: dict[frozenset[str], float] = {}
        with problems.collect():
            for number, entry in enumerate(require(content, name, list, str(path))):
                with problems.collect():
                    pair, value = _entry(entry, f"{path}: {name}, entry {number}")
                    if of_list.setdefault(pair, value) != value:
                        raise UserError(
                            f"{path}: {name}, entry {number} states {shown(sorted(pair))} a second time, with "
                            "another similarity; keep one."
                        )
        stated |= of_list
    problems.raise_any()
    otherwise = exact_match().of

    def similarity(truth: str, predicted: str) -> float:
        value = stated.get(frozenset((_normal(truth), _normal(predicted))))
        return otherwise(truth, predicted) if value is None else value

    return TextSimilarity(f"{path.name}: as stated there; exact match for other pairs", similarity)


def _entry(entry: Any, where: str) -> tuple[frozenset[str], float]:
    if not isinstance(entry, list) or len(entry) != 3:
        raise UserError(f"{where} must be [text, text, similarity], not {shown(entry)}; correct the file.")
    *texts, value = entry
    pair = frozenset(_normal(of_kind(text, str, f"{where}: a text")) for text in texts)
    if type(value) not in (int, float) or not -1 <= value <= 1:
        raise UserError(
            f"{where}: the similarity must be from -1 to 1, not {shown(value)}; correct the file."
        )
    return pair, float(value)


def _normal(text: str) -> str:
    return text.lower().strip()
