"""Regular expressions that users write, searched in names that strangers wrote, in bounded time.

What a pattern may say is what Python's `re` accepts. It is matched by `regex`, which can be told to give up: an
expression with repetitions of repetitions would otherwise try for years.
"""

import re
import time
from collections.abc import Callable

import regex

from refvessel.errors import UserError

_LONGEST = 1_000  # characters of a pattern
_LARGEST_REPETITION = 10_000  # {...,10000}; longer than any path
_SECONDS = 1.0  # for one text
_SECONDS_IN_ALL = 60.0  # for all texts of a run


class BoundedPattern:
    """A regular expression whose matching is given up after a second.

    Messages open with `what`, which names the setting and its text, and call the text a `kind`.
    Raises UserError where the pattern is no regular expression of Python's `re`, or an excessive one.
    """

    def __init__(
        self, pattern: str, what: str, kind: str = "regular expression", *, ignore_case: bool = False
    ) -> None:
        self._what = f"{what:.200}"
        if len(pattern) > _LONGEST:
            raise UserError(f"{self._what} has {len(pattern)} characters; write {_LONGEST} or fewer.")
        numbers = (int(digits[:10]) for digits in re.findall(r"[{,]\s*(\d+)(?=\s*[},])", pattern))
        if (largest := max(numbers, default=0)) > _LARGEST_REPETITION:
            raise UserError(
                f"{self._what} repeats something {largest} times; write {_LARGEST_REPETITION} or fewer."
            )
        try:
            re.compile(pattern)
            self._pattern = regex.compile(pattern, regex.IGNORECASE if ignore_case else 0)
        except (re.error, regex.error, RecursionError, OverflowError) as error:
            raise UserError(f"{self._what} is not a {kind} ({error}).") from None
        self._left = _SECONDS_IN_ALL

    @property
    def groups(self) -> frozenset[str]:
        """The names of its groups."""
        return frozenset(self._pattern.groupindex)

    def search(self, text: str) -> regex.Match[str] | None:
        """The first match in `text`; raises UserError where finding it takes too long."""
        return self._within_time(self._pattern.search, text)

    def fullmatch(self, text: str) -> regex.Match[str] | None:
        """The match of the whole `text`; raises UserError where finding it takes too long."""
        return self._within_time(self._pattern.fullmatch, text)

    def _within_time(
        self, match: Callable[..., regex.Match[str] | None], text: str
    ) -> regex.Match[str] | None:
        start = time.monotonic()
        try:
            if self._left <= 0:
                raise TimeoutError
            return match(text, timeout=min(_SECONDS, self._left))
        except (TimeoutError, MemoryError):
            self._left = 0.0  # what took too long once is not tried on every other name
            raise UserError(
                f"{self._what} takes too long to match, for instance on {text!r:.80}; write it "
                "without repetitions of repetitions such as (a+)+."
            ) from None
        finally:
            self._left -= time.monotonic() - start
