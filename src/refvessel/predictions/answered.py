"""Which phrases a model answers at all, as the record of its predictions says."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Protocol, TypeVar

IMPORTED, ANSWERS = "imported", "answers"  # keys of what a table of predictions was made from


class _OfPhrase(Protocol):
    @property
    def phrase(self) -> str: ...


_Expression = TypeVar("_Expression", bound=_OfPhrase)


def answered_phrases(made_from: Mapping[str, Any]) -> frozenset[str] | None:
    """The phrases that an imported model answers, where that is stated; None: all.

    `made_from` is what a table of predictions says that it was made from.
    """
    stated = (made_from.get(IMPORTED) or {}).get(ANSWERS)
    return None if stated is None else frozenset(stated)


def only_answered(expressions: Iterable[_Expression], answered: Collection[str] | None) -> list[_Expression]:
    """Those of the expressions that are answered; all of them where `answered` is None."""
    return [each for each in expressions if answered is None or each.phrase in answered]
