"""From the labels of an annotation to the phrases that a model is asked for."""

from collections import Counter
from collections.abc import Mapping, Sequence

from refvessel.dataset.problems import Problems
from refvessel.dataset.readers.records import Record
from refvessel.errors import UserError


def require_phrases(phrases: Mapping[str, str]) -> dict[str, str]:
    """The mapping from label to phrase, both stripped; raises UserError where it is empty or a phrase is."""
    if not phrases:
        raise UserError(
            "phrases is empty; map every label to a phrase, or leave it out to ask for the labels."
        )
    for label, phrase in phrases.items():
        if not isinstance(phrase, str) or not phrase.strip():
            raise UserError(f"phrases: the label {label!r} has a phrase without text; write what to ask for.")
    return {label.strip(): phrase.strip() for label, phrase in phrases.items()}


def phrases_of_labels(
    phrases: Mapping[str, str] | None, records: Sequence[Record], problems: Problems
) -> dict[str, str]:
    """The phrase of every label of the records, in the order in which expressions are numbered.

    That is the order of `phrases`, or the alphabet where None leaves every label as its own phrase. Labels that
    `phrases` lacks are reported, once each.
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
            f"{first[label]}: the label {label!r} (on {numbers[label]} images) has no phrase; add it to phrases."
        )
    # The work goes on to find the other problems, so even these labels stand for something.
    return mapping | {label: label for label in unknown}
