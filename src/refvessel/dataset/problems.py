"""The problems of a run, told together instead of one per run."""

from collections.abc import Iterator
from contextlib import contextmanager

from refvessel.errors import UserError

SHOWN = 20  # problems told at once; the rest are counted


class Problems:
    """Sentences collected while the work goes on, raised as one UserError before anything is published."""

    def __init__(self) -> None:
        self._sentences: dict[str, None] = {}  # each once, in order

    def add(self, sentence: str) -> None:
        """Remember one problem: a sentence naming the file, the field and the remedy."""
        self._sentences[sentence] = None

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Turn a UserError of the block into a remembered problem."""
        try:
            yield
        except UserError as error:
            self.add(str(error))

    @property
    def enough(self) -> bool:
        """True once the display limit is reached."""
        return len(self._sentences) >= SHOWN

    @property
    def sentences(self) -> list[str]:
        """All sentences so far, in order."""
        return list(self._sentences)

    def raise_any(self) -> None:
        """Raise UserError with one line per problem, at most 20 of them; do nothing where there are none."""
        found = self.sentences
        if len(found) > 1:
            # Work that is worth nothing any more has stopped where there were enough.
            number = f"At least {len(found)}" if self.enough else len(found)
            lines = [f"{number} problems were found and nothing was written:"]
            lines += [f"- {sentence}" for sentence in found[:SHOWN]]
            if len(found) > SHOWN:
                lines.append(f"- and {len(found) - SHOWN} more.")
            raise UserError("\n".join(lines))
        if found:
            raise UserError(found[0])
