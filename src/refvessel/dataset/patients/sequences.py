"""Runs: which images are the frames of one, in which order, and what it is called where it is published."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import PurePosixPath

from refvessel.dataset.patients.identities import FramePlace, Identified
from refvessel.dataset.patients.pseudonyms import OriginalNames, Pseudonyms
from refvessel.dataset.patients.stated import without_suffix
from refvessel.dataset.problems import Problems
from refvessel.dataset.readers.records import Record, frame_number
from refvessel.errors import UserError
from refvessel.patterns import BoundedPattern
from refvessel.settings.dataset_section import BY_DATA, BY_FOLDER

MOST_FRAMES = 100_000  # of a run: more than an hour

_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True)
class SequenceRule:
    """How runs are recognised: `folder`, `data`, or a pattern with the group `sequence` and perhaps `frame`.

    The pattern is searched in an image's relative path without suffix, folders separated by `/`. Raises UserError
    where it is no such expression.
    """

    stated: str

    def __post_init__(self) -> None:
        if self._pattern is not None and "sequence" not in self._pattern.groups:
            raise UserError(f"sequences {self.stated!r} has no group (?P<sequence>...); add it.")

    @property
    def _pattern(self) -> BoundedPattern | None:
        if self.stated in (BY_DATA, BY_FOLDER):
            return None
        return BoundedPattern(self.stated, f"sequences {self.stated!r}")

    def of_annotated_runs(self, records: Sequence[Record], problems: Problems) -> list[Record]:
        """The records of runs with an annotated frame, each with its `sequence` and, where it is known, `frame`.

        Images that are of no run are reported.
        """
        pattern, named = self._pattern, []
        for record in records:
            with problems.collect():
                named.append(self._named(record, pattern))
        annotated = {record.sequence for record in named if record.annotation is not None}
        return [record for record in named if record.sequence in annotated]

    def _named(self, record: Record, pattern: BoundedPattern | None) -> Record:
        path = without_suffix(record.name)
        if pattern is not None:
            match = pattern.search(path)
            if match is None or not match["sequence"]:
                raise UserError(f"{record.name}: sequences finds no run in {path!r}; widen the pattern.")
            frame = frame_number(match.groupdict().get("frame"), record.name)
            return replace(record, sequence=match["sequence"], frame=record.frame if frame is None else frame)
        if self.stated == BY_FOLDER:
            return replace(record, sequence=PurePosixPath(path).parent.as_posix())
        if record.sequence is None:
            raise UserError(
                f"{record.where}: the data do not say of which run the image is; set sequences to {BY_FOLDER} or "
                "to a pattern."
            )
        return record


def in_sequences(
    identified: Sequence[Identified], names: Pseudonyms | OriginalNames, problems: Problems
) -> list[Identified]:
    """Each image with its place in its patient's run; frames of runs without an annotated one are left out.

    Frames are in the order of their numbers or, where a run has none, in the natural order of their names. Reports
    frames of one number, runs with numbers on some frames only, and two runs that would be published as one.
    """
    runs: dict[tuple[str, str], list[Identified]] = defaultdict(list)
    for each in identified:
        runs[each.origin.patient, each.record.sequence or ""].append(each)
    placed: list[Identified] = []
    published: dict[str, Record] = {}
    for (patient, sequence), frames in runs.items():
        if not any(each.record.annotation is not None for each in frames):
            continue
        with problems.collect():
            video = names.sequence(sequence, patient)
            ordered = _in_order(frames, sequence)
            if other := published.get(video):
                raise UserError(
                    f"{other.name} and {ordered[0].record.name} are of two runs that would both be published as "
                    f"{video}; rename one."
                )
            published[video] = ordered[0].record
            for index, each in enumerate(ordered):
                placed.append(replace(each, place=FramePlace(video, index, _gap(ordered, index))))
    return placed


def _in_order(frames: Sequence[Identified], sequence: str) -> list[Identified]:
    """The frames of a run in their order; raises UserError where that is ambiguous."""
    if len(frames) > MOST_FRAMES:
        raise UserError(f"The run {sequence} has {len(frames)} frames, more than {MOST_FRAMES}; divide it.")
    without = [each for each in frames if _number(each) is None]
    if 0 < len(without) < len(frames):
        raise UserError(
            f"{without[0].record.where}: the frame has no number, but others of the run {sequence} have one; "
            "number all."
        )
    ordered = sorted(frames, key=_order)
    for one, other in pairwise(ordered):
        if _order(one) == _order(other):
            raise UserError(
                f"{one.record.name} and {other.record.name} are the same frame of the run {sequence}; keep one or "
                "number them anew."
            )
    return ordered


def _order(each: Identified) -> tuple[int, tuple[tuple[int, int | str], ...]]:
    """By number; where there is none, by name, in which numbers count as such: frame2 comes before frame10."""
    number = _number(each)
    return (number, ()) if number is not None else (0, natural_key(without_suffix(each.record.name)))


def _number(each: Identified) -> int | None:
    """A frame's number, where it is stated: a guess from the name may be of something else."""
    if each.record.frame is None and each.origin.stated:
        return each.origin.frame
    return each.record.frame


def natural_key(name: str) -> tuple[tuple[int, int | str], ...]:
    """What names are sorted by where numbers in them count as numbers, in whatever digits and letter case."""
    parts = _DIGITS.split(unicodedata.normalize("NFC", name).casefold())
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in parts if part)


def _gap(ordered: Sequence[Identified], index: int) -> int:
    """How many numbers lie between this frame's and the one before."""
    here, before = (_number(ordered[max(number, 0)]) for number in (index, index - 1))
    return 0 if index == 0 or here is None or before is None else here - before - 1
