"""Every record's place in the tree: its published name, its patient and its split, each without ambiguity."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace

from refvessel.dataset.patients.likely_patients import likely_patients
from refvessel.dataset.patients.pseudonyms import OriginalNames, Pseudonyms
from refvessel.dataset.patients.splits import STATE_PATIENTS, SplitRule, require_one_split, require_split_name
from refvessel.dataset.patients.stated import Origin, Origins
from refvessel.dataset.problems import Problems
from refvessel.dataset.readers.records import Record
from refvessel.errors import UserError

_LONGEST_ID = 200  # bytes; file systems allow 255, of which temporary names take some


@dataclass(frozen=True, slots=True)
class FramePlace:
    """Where an image stands in a run."""

    video: str  # the run's published name
    index: int  # from 0
    gap: int  # numbers that are missing before it


@dataclass(frozen=True, slots=True)
class Identified:
    """A record with the names it is published under."""

    record: Record
    origin: Origin  # original names: never published
    image_id: str
    patient: str
    split: str
    place: FramePlace | None = None  # None: of no run


def identify(
    records: Iterable[Record],
    origins: Origins,
    rule: SplitRule,
    names: Pseudonyms | OriginalNames,
    problems: Problems,
) -> list[Identified]:
    """Name every record; report images that share a name or an id, and patients that fall into two splits.

    Raises UserError, with all problems so far, where nobody says who is on the images of several splits.
    """
    found: list[tuple[Record, Origin]] = []
    for record in records:
        with problems.collect():
            found.append((record, origins.of(record)))
    found = _with_likely_patients(found)
    _require_stated_patients([origin for _, origin in found], rule, problems)
    split_of = rule.splits(origin for _, origin in found)
    identified = []
    for record, origin in found:
        with problems.collect():
            split = split_of(origin)
            require_split_name(split)
            image_id, patient = names.image(record.name, origin.patient), names.patient(origin.patient)
            if len(image_id.encode()) > _LONGEST_ID:
                raise UserError(
                    f"{record.where}: the id {image_id:.80}... is too long for a file; shorten its path."
                )
            identified.append(Identified(record, origin, image_id, patient, split))
    _require_distinct_names(identified, problems)
    members = ((item.origin.patient, item.split, item.record.name) for item in identified)
    require_one_split("are of one patient", members, problems)
    return identified


def _with_likely_patients(found: list[tuple[Record, Origin]]) -> list[tuple[Record, Origin]]:
    """The same, patients that nobody states united where the names of their images share a clue."""
    likely = likely_patients(record.name for record, origin in found if not origin.stated)
    return [
        (record, origin if origin.stated else replace(origin, patient=likely[record.name]))
        for record, origin in found
    ]


def _require_stated_patients(origins: list[Origin], rule: SplitRule, problems: Problems) -> None:
    """Refuse several splits where nobody says who is on the images: names alone let a patient fall into two."""
    unstated = sum(not origin.stated for origin in origins)
    splits = rule.possible_splits(origins)
    if unstated and len(splits) > 1:
        problems.add(
            f"Nothing says who is on {unstated} images, so one patient may fall into several of the splits "
            f"{', '.join(sorted(splits))}; {STATE_PATIENTS}, or put everything into one split (single_split)."
        )
        problems.raise_any()


def _require_distinct_names(identified: list[Identified], problems: Problems) -> None:
    by_name: dict[str, Record] = {}
    by_id: dict[str, Record] = {}
    for item in identified:
        record = item.record
        # Names that one file system keeps apart are one file on another.
        name = unicodedata.normalize("NFC", record.name).casefold()
        twin = by_name.setdefault(name, record)
        namesake = by_id.setdefault(item.image_id, record)
        if twin is not record and twin.name == record.name:
            problems.add(f"{twin.where} and {record.where} both annotate {record.name}; keep or merge one.")
        elif twin is not record:
            problems.add(f"{record.where}: {record.name} and {twin.name} differ by case only; rename one.")
        elif namesake is not record:
            problems.add(f"{record.where}: {record.name} and {namesake.name} get the same id; rename one.")
