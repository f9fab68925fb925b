"""Entrants: what is compared, a model asked in a way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from refvessel.settings.words_section import Words

Kind = Literal["image", "video", "imported"]

CHOSEN = "chosen"  # in the name of one whose question is chosen
VIDEO = "video"  # in the name of one that segments sequences with SAM2's memory


@dataclass(frozen=True)
class Entrant:
    """A model, asked in a way.

    name: what it is called in paths and tables, in the place of `{model}`: MODEL, MODEL-QUESTION or
        MODEL-chosen, and each with -video.
    model: a key of `models`.
    question: the prompt with `{phrase}`; None where it is chosen, and where nothing is asked.
    kind: image, or video where frames are segmented with SAM2's memory, or imported where nothing is run.
    candidates: the entrants among whose questions one is chosen; none where it is stated.
    """

    name: str
    model: str
    question: str | None
    kind: Kind = "image"
    candidates: tuple["Entrant", ...] = ()

    @property
    def way(self) -> str:
        """What follows the model in its name: how the model is asked."""
        return self.name.removeprefix(self.model)


@dataclass(frozen=True)
class Entry:
    """An entrant on a split of a data set.

    words: what it is asked besides, to find out whether it reads the words; None: nothing.
    """

    entrant: Entrant
    dataset: str
    split: str
    words: Words | None = None

    @property
    def places(self) -> dict[str, str]:
        """What stands for `{model}`, `{dataset}` and `{split}` in the paths of its files."""
        return {"model": self.entrant.name, "dataset": self.dataset, "split": self.split}


def entrants_of(model: str, questions: Mapping[str, str], question: str, kind: Kind) -> tuple[Entrant, ...]:
    """The entrants of a model: one per question, in their order; of the model's own name where none is stated.

    Args:
        model: a key of `models`.
        questions: prompts by their names; may be empty.
        question: the prompt where there are none.
        kind: of all of them.
    """
    if not questions:
        return (Entrant(_name(model, None, kind), model, question, kind),)
    return tuple(Entrant(_name(model, name, kind), model, text, kind) for name, text in questions.items())


def chosen_entrant(candidates: Sequence[Entrant]) -> Entrant:
    """The entrant that asks the question of one of these, whichever is chosen."""
    model, kind = candidates[0].model, candidates[0].kind
    return Entrant(_name(model, CHOSEN, kind), model, None, kind, tuple(candidates))


def imported_entrant(model: str) -> Entrant:
    """The only entrant of a model whose masks are there already."""
    return Entrant(model, model, None, "imported")


def asked_together(entries: Sequence[Entry], kinds: Mapping[str, str]) -> list[list[Entry]]:
    """The sets of entries for each of which one job looks at images: of a model, or kind, a data set and split.

    Left out are those that any job serves: asked alone, and in the data set's own phrases.

    Args:
        entries: all.
        kinds: model -> its kind, of those that one job asks together with others of their kind.
    """
    sets: dict[tuple[str, ...], dict[str, Entry]] = {}
    for each in entries:
        entrant = each.entrant
        if entrant.kind == "image":
            alone = (
                entrant.name if entrant.question is None else ""
            )  # its question is known later than others
            kind = kinds.get(entrant.model, entrant.model)
            where = (kind, each.dataset, each.split, alone)
            sets.setdefault(where, {}).setdefault(entrant.name, each)
    together = [list(named.values()) for named in sets.values()]
    return [some for some in together if len(some) > 1 or some[0].words is not None]


def _name(model: str, question: str | None, kind: Kind) -> str:
    return "-".join([model, *([question] if question else []), *([VIDEO] if kind == "video" else [])])
