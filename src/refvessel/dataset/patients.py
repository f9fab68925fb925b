"""Who is on an image: patient, frame and split, from the image's name."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from refvessel.errors import UserError

# The stem without a trailing frame number; the folder's name where the stem is a number alone. Patients that look
# alike (two folders that both hold `a_01`) become one: a split can be too coarse, but no patient falls into two.
DEFAULT_PATTERN = r"(?:^|/)(?P<patient>[^/]+?)(?:[/_-](?i:frame|f|img)?[_-]?(?P<frame>\d+))?$"


@dataclass(frozen=True)
class Origin:
    """What an image's name says about it."""

    patient: str
    frame: int | None
    split: str | None


class PatientPattern:
    """A regular expression with the named group `patient` and, if wanted, `frame` (digits) and `split`.

    It is searched in the image's relative path without suffix, folders separated by `/`. None is the default
    pattern. Raises UserError where it is no such expression.
    """

    def __init__(self, pattern: str | None) -> None:
        try:
            self._expression = re.compile(DEFAULT_PATTERN if pattern is None else pattern)
        except re.error as error:
            raise UserError(f"patient_pattern {pattern!r} is not a regular expression ({error}).") from None
        if "patient" not in self._expression.groupindex:
            raise UserError(f"patient_pattern {pattern!r} has no group (?P<patient>...); add it.")

    def origin(self, name: str) -> Origin:
        """Patient, frame and split of the image with this relative path.

        Raises UserError where the pattern does not match, the patient is empty or the frame is not a number.
        """
        path = PurePosixPath(name).with_suffix("").as_posix()
        match = self._expression.search(path)
        if match is None or not match["patient"]:
            raise UserError(f"{name}: patient_pattern finds no patient in {path!r}; widen the pattern.")
        groups = match.groupdict()
        frame = groups.get("frame")
        if frame is not None and not frame.isdecimal():
            raise UserError(
                f"{name}: patient_pattern finds the frame {frame!r}, not a number; correct the pattern."
            )
        return Origin(match["patient"], None if frame is None else int(frame), groups.get("split"))
