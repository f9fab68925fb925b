"""From the labels of an annotation to the phrases that a model is asked for."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from refvessel.dataset.problems import Problems
from refvessel.dataset.readers.records import Record
from refvessel.errors import UserError
from refvessel.prompts import IMAGE_PLACEHOLDER


def require_phrases(phrases: Mapping[Any, str | None]) -> dict[str, str | None]:
    """The mapping from label to phrase, both stripped; None leaves a label out.

    Raises UserError where it is empty or leaves every label out, where a label or a phrase is no text, and where
    a phrase holds the place of the image, which every prompt has once.
    """
    if not phrases:
        raise UserError(
            "phrases is empty; map every label to a phrase, or leave it out to ask for the labels."
        )
    if all(phrase is None for phrase in phrases.values()):
        raise UserError("phrases leaves every label out; give a phrase to one at least.")
    for label, phrase in phrases.items():
        if not isinstance(label, str):
            raise UserError(f"phrases: the label {label!r} is not text; write it in quotes.")
        if phrase is not None and (not isinstance(phrase, str) or not phrase.strip()):
            raise UserError(
                f"phrases: the label {label!r} has a phrase without text; write what to ask for, or null to leave "
                "the label out."
            )
        if phrase is not None and IMAGE_PLACEHOLDER in phrase:
            raise UserError(
                f"phrases: the phrase of {label!r} holds {IMAGE_PLACEHOLDER}, which stands for the image in a "
                "prompt; remove it."
            )
    return {label.strip(): None if phrase is None else phrase.strip() for label, phrase in phrases.items()}


def labels_left_out(phrases: Mapping[int | str, str | None] | None) -> frozenset[str]:
    """The labels that `phrases` leaves out; raises UserError as `require_phrases` does."""
    mapping = {} if phrases is None else require_phrases(phrases)
    return frozenset(label for label, phrase in mapping.items() if phrase is None)


def phrases_of_labels(
    phrases: Mapping[int | str, str | None] | None, records: Sequence[Record], problems: Problems
) -> dict[str, str]:
    """The phrase of every label of the records, in the order in which expressions are numbered.

    That is the order of `phrases`, or the alphabet where None leaves every label as its own phrase. Labels that
    `phrases` lacks are reported, once each; those that it leaves out (None) are not returned.
    """
    numbers: Counter[str] = Counter()
    first: dict[str, str] = {}
    for record in records:
        for label, where in record.labels.items():
            numbers[label] += 1
            first.setdefault(label, where)
    if phrases is None:
        return {label: label for label in sorted(numbers)}
    mapping = require_phrases(phrases)
    unknown = sorted(numbers.keys() - mapping.keys())
    for label in unknown:
        problems.add(
            f"{first[label]}: the label {label!r} (on {numbers[label]} images) has no phrase; add it to phrases, "
            "with null to leave it out."
        )
    asked = {label: phrase for label, phrase in mapping.items() if phrase is not None}
    # The work goes on to find the other problems, so even the unknown labels stand for something.
    return asked | {label: label for label in unknown}


def phrases_without_label(phrases: Mapping[str, str], records: Iterable[Record]) -> list[str]:
    """The phrases of which no record has a label, in order."""
    found = {label for record in records for label in record.labels}
    shown = {phrase for label, phrase in phrases.items() if label in found}
    return [phrase for phrase in dict.fromkeys(phrases.values()) if phrase not in shown]
