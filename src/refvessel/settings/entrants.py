"""Entrants: what is compared, a model asked in a way."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["image", "video"]

CHOSEN = "chosen"  # in the name of one whose question is chosen
VIDEO = "video"  # in the name of one that segments sequences with SAM2's memory


@dataclass(frozen=True)
class Entrant:
    """A model, asked in a way.

    name: what it is called in paths and tables, in the place of `{model}`: MODEL, MODEL-QUESTION or
        MODEL-chosen, and each with -video.
    model: a key of `models`.
    question: the prompt with `{phrase}`; None where it is chosen.
    kind: image, or video where frames are segmented with SAM2's memory.
    candidates: the entrants among whose questions one is chosen; none where it is stated.
    """

    name: str
    model: str
    question: str | None
    kind: Kind = "image"
    candidates: tuple["Entrant", ...] = ()


@dataclass(frozen=True)
class Entry:
    """An entrant on a split of a data set."""

    entrant: Entrant
    dataset: str
    split: str

    @property
    def places(self) -> dict[str, str]:
        """What stands for `{model}`, `{dataset}` and `{split}` in the paths of its files."""
        return {"model": self.entrant.name, "dataset": self.dataset, "split": self.split}


@dataclass(frozen=True)
class AskedTogether:
    """Entrants that are one model on one split and differ in the question: one job answers them all."""

    model: str
    dataset: str
    split: str
    entrants: tuple[Entrant, ...]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Each of them on the split."""
        return tuple(Entry(each, self.dataset, self.split) for each in self.entrants)


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


def asked_together(entries: Sequence[Entry]) -> Iterator[AskedTogether]:
    """The sets of entrants that look at the same images with one model; what is asked alone is left out."""
    grouped: dict[tuple[str, str, str], dict[str, Entrant]] = {}
    for each in entries:
        entrant = each.entrant
        if entrant.kind == "image" and entrant.question is not None:
            grouped.setdefault((entrant.model, each.dataset, each.split), {})[entrant.name] = entrant
    for where, entrants in grouped.items():
        if len(entrants) > 1:
            yield AskedTogether(*where, tuple(entrants.values()))


def _name(model: str, question: str | None, kind: Kind) -> str:
    return "-".join([model, *([question] if question else []), *([VIDEO] if kind == "video" else [])])
