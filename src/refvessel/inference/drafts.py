"""Drafts for speculative decoding: the answer that a prompt will likely get, verified instead of generated."""

from collections import Counter
from collections.abc import Collection, Iterable


class Drafts:
    """Guesses the most frequent answer so far; at first, and among equally frequent ones, the expected one.

    Args:
        expected: token ids of the expected answer.
        stop_token_ids: tokens that end an answer; a draft goes up to the first.
    """

    def __init__(self, expected: list[int], stop_token_ids: Collection[int]) -> None:
        self._stop_token_ids = stop_token_ids
        self._seen: Counter[tuple[int, ...]] = Counter({self._until_stop(expected): 0})

    def likeliest(self) -> list[int]:
        """Token ids of the next draft, without the token that ends it."""
        return list(self._seen.most_common(1)[0][0])

    def observe(self, answers: Iterable[list[int]]) -> None:
        """Count the token ids of answers."""
        self._seen.update(map(self._until_stop, answers))

    def _until_stop(self, answer: list[int]) -> tuple[int, ...]:
        ends = (place for place, token in enumerate(answer) if token in self._stop_token_ids)
        return tuple(answer[: next(ends, len(answer))])
