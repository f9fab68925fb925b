"""Who is on an image: patient, frame and split, from a table, the image's name or the data themselves."""

import csv
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from refvessel.dataset.readers.records import Record, frame_number
from refvessel.errors import UserError
from refvessel.patterns import BoundedPattern

# The stem without a trailing frame number; the folder's name where the stem is a number alone. Patients that look
# alike (two folders that both hold `a_01`) become one: a split can be too coarse, but no patient falls into two.
DEFAULT_PATTERN = r"(?:^|/)(?P<patient>[^/]+?)(?:[/_-](?i:frame|f|img)?[_-]?(?P<frame>\d+))?$"


@dataclass(frozen=True, slots=True)
class Origin:
    """What is known of an image's origin."""

    patient: str
    frame: int | None
    split: str | None  # as a table, a name or the data give it


class PatientPattern:
    """A regular expression with the named group `patient` and, if wanted, `frame` (digits) and `split`.

    It is searched in the image's relative path without suffix, folders separated by `/`. None is the default
    pattern. Raises UserError where it is no such expression.
    """

    def __init__(self, pattern: str | None) -> None:
        pattern = DEFAULT_PATTERN if pattern is None else pattern
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
    """Origins of records: by a table, else by a given pattern, else by the data, else by the default pattern.

    With `own_splits`, the data's own split serves where table and pattern give none.
    """

    def __init__(self, pattern: str | None, table: Path | None, *, own_splits: bool) -> None:
        if pattern is not None and table is not None:
            raise UserError("patient_pattern and patients are both given; leave one out.")
        self._rule = None if table is None else PatientTable(table)
        if pattern is not None:
            self._rule = PatientPattern(pattern)
        self._default = PatientPattern(None)
        self._own_splits = own_splits

    def of(self, record: Record) -> Origin:
        """The record's origin; raises UserError where nothing says who the patient is."""
        if self._rule is not None:
            origin = self._rule.origin(record.name)
        elif record.patient == "":
            raise UserError(f"{record.where}: the patient is not named; give patient_pattern or patients.")
        elif record.patient is not None:
            origin = Origin(record.patient, record.frame, None)
        else:
            origin = self._default.origin(record.name)
        return replace(
            origin,
            frame=record.frame if origin.frame is None else origin.frame,
            split=origin.split or (record.split if self._own_splits else None),
        )

    def patient_of(self, name: str) -> str | None:
        """Who is on an image of which the relative path alone is known; None where that does not tell."""
        try:
            return (self._rule or self._default).origin(name).patient
        except UserError:
            return None


def without_suffix(name: str) -> str:
    """A relative path without its suffix, POSIX form, its characters composed: macOS stores names decomposed."""
    return PurePosixPath(unicodedata.normalize("NFC", name)).with_suffix("").as_posix()
