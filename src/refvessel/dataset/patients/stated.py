"""Who is on an image: patient, frame and split, from a table, a pattern, the data or, failing these, its name."""

import csv
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from refvessel.dataset.patients.likely_patients import clues, last_number
from refvessel.dataset.readers.records import Record, frame_number
from refvessel.errors import UserError
from refvessel.patterns import BoundedPattern


@dataclass(frozen=True, slots=True)
class Origin:
    """What is known of an image's origin."""

    patient: str
    frame: int | None
    split: str | None  # as a table, a name or the data give it
    stated: bool = True  # False: nobody says who the patient is, the name makes it likely


class PatientPattern:
    """A regular expression with the named group `patient` and, if wanted, `frame` (digits) and `split`.

    It is searched in the image's relative path without suffix, folders separated by `/`. Raises UserError where it
    is no such expression.
    """

    def __init__(self, pattern: str) -> None:
        self._expression = BoundedPattern(pattern, f"patient_pattern {pattern!r}")
        if "patient" not in self._expression.groups:
            raise UserError(f"patient_pattern {pattern!r} has no group (?P<patient>...); add it.")

    def origin(self, name: str) -> Origin:
        """Patient, frame and split of the image with this relative path.

        Raises UserError where the pattern does not match, the patient is empty or the frame is not a number.
        """
        path = without_suffix(name)
        match = self._expression.search(path)
        if match is None or not match["patient"]:
            raise UserError(f"{name}: patient_pattern finds no patient in {path!r}; widen the pattern.")
        groups = match.groupdict()
        return Origin(match["patient"], frame_number(groups.get("frame"), name), groups.get("split"))


class PatientTable:
    """A CSV file with the columns `image`, `patient` and, if wanted, `frame` and `split`.

    Images are named by their relative path, with or without suffix; rows of images that are not converted do not
    matter. Raises UserError where the file is no such table.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._origins: dict[str, Origin] = {}
        try:
            with path.open(encoding="utf-8-sig", newline="") as stream:
                table = csv.DictReader(stream, skipinitialspace=True)
                rows, columns = list(table), table.fieldnames or []
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"{path} cannot be read as CSV ({error}); check the path and the file.") from None
        if missing := [column for column in ("image", "patient") if column not in columns]:
            raise UserError(
                f"{path} has no column {missing[0]!r} but {', '.join(map(repr, columns)) or 'none'}; "
                "name the columns in its first line, separated by commas."
            )
        for number, row in enumerate(rows, start=2):
            where = f"{path}: line {number}"
            image, patient = (row.get(column) for column in ("image", "patient"))
            if not image or not patient:
                raise UserError(f"{where} has no image or no patient; give both columns and fill them.")
            origin = Origin(patient, frame_number(row.get("frame") or None, where), row.get("split") or None)
            name = without_suffix(image.replace("\\", "/"))  # which drops a `./` in front
            if self._origins.setdefault(name, origin) != origin:
                raise UserError(f"{where}: the image {image} is listed before with other values; keep one.")

    @property
    def splits(self) -> set[str | None]:
        """The splits that the rows name; None among them where a row names none."""
        return {origin.split for origin in self._origins.values()}

    def origin(self, name: str) -> Origin:
        """What the table says of the image with this relative path; raises UserError where that is nothing."""
        origin = self._origins.get(without_suffix(name))
        if origin is None:
            raise UserError(f"{name} is not in {self._path}; add a row for it.")
        return origin


class Origins:
    """Origins of records: by a table or a pattern, else by the data, else (not `stated`) by their names.

    With `own_splits`, the data's own split serves where table and pattern give none.
    """

    def __init__(self, pattern: str | None, table: Path | None, *, own_splits: bool) -> None:
        if pattern is not None and table is not None:
            raise UserError("patient_pattern and patients are both given; leave one out.")
        self._rule: PatientTable | PatientPattern | None = None if table is None else PatientTable(table)
        if pattern is not None:
            self._rule = PatientPattern(pattern)
        self._own_splits = own_splits

    def of(self, record: Record) -> Origin:
        """The record's origin; raises UserError where a table, a pattern or the data should name it and do not.

        Where nothing states the patient, it is the first clue of the name (see `likely_patients`).
        """
        if self._rule is not None:
            origin = self._rule.origin(record.name)
        elif record.patient == "":
            raise UserError(f"{record.where}: the patient is not named; give patient_pattern or patients.")
        elif record.patient is not None:
            origin = Origin(record.patient, record.frame, None)
        else:
            origin = Origin(min(clues(record.name)), last_number(record.name), None, stated=False)
        return replace(
            origin,
            frame=record.frame if origin.frame is None else origin.frame,
            split=origin.split or (record.split if self._own_splits else None),
        )

    def patients_of(self, name: str) -> set[str]:
        """Who may be on an image of which the relative path alone is known."""
        try:
            return clues(name) if self._rule is None else {self._rule.origin(name).patient}
        except UserError:
            return set()


def without_suffix(name: str) -> str:
    """A relative path without its suffix, POSIX form, its characters composed: macOS stores names decomposed."""
    return PurePosixPath(unicodedata.normalize("NFC", name)).with_suffix("").as_posix()
