"""Drafts for speculative decoding: the answer that a prompt will likely get, verified instead of generated."""

from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path

from refvessel.model.processing import Sa2VAProcessor
from refvessel.predictions.prediction import read_shard


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


def known_drafts(expected: str | None, processor: Sa2VAProcessor, *shards: Path) -> Drafts | None:
    """What answers to expect, knowing those that earlier jobs left in these shards.

    Args:
        expected: the answer that is expected at first; None: none is, and there are no drafts.
        processor: whose token ids they are.
        shards: files of JSON lines, perhaps empty.
    """
    if expected is None:
        return None
    drafts = Drafts(processor.answer_ids(expected), processor.stop_token_ids)
    for shard in shards:
        drafts.observe(processor.answer_ids(each.answer) for each in read_shard(shard))
    return drafts
