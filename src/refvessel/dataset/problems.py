"""The problems of a run, told together instead of one a run."""

from collections.abc import Iterator
from contextlib import contextmanager

from refvessel.errors import UserError

SHOWN = 20  # problems told at once; the rest are counted


class Problems:
    """Sentences collected while the work goes on, raised as one UserError before anything is published."""

    def __init__(self) -> None:
        self._sentences: list[str] = []

    def add(self, sentence: str) -> None:
        """Remember one problem: a sentence naming the file, the field and the remedy."""
        self._sentences.append(sentence)

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Turn a UserError of the block into a remembered problem."""
        try:
            yield
        except UserError as error:
            self.add(str(error))

    @property
    def enough(self) -> bool:
        """Whether more problems would not be shown any more."""
        return len(self._sentences) >= SHOWN

    def raise_any(self) -> None:
        """Raise UserError with one line a problem, at most 20 of them; do nothing where there are none."""
        if len(self._sentences) > 1:
            lines = [f"{len(self._sentences)} problems were found and nothing was written:"]
            lines += [f"- {sentence}" for sentence in self._sentences[:SHOWN]]
            if len(self._sentences) > SHOWN:
                lines.append(f"- and {len(self._sentences) - SHOWN} more.")
            raise UserError("\n".join(lines))
        if self._sentences:
            raise UserError(self._sentences[0])
