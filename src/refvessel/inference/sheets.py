"""Sheets: what a job is asked, each a shard of its own, and all about the same images.

Within a job every expression of every sheet has a number of its own, which stands for its sent_id meanwhile: the
job looks at an image once, whichever sheets ask about it.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np

from refvessel.dataset.tree.expressions import Sentence
from refvessel.predictions.asked import Asked
from refvessel.predictions.prediction import Prediction
from refvessel.predictions.run_file import Run
from refvessel.predictions.shard import ShardWriter, open_shard
from refvessel.settings.words_section import Words

_DIGITS = 8  # of a hash, that tell words apart


@dataclass(frozen=True)
class Wanted:
    """A shard that a job is to write.

    question: the prompt with `{phrase}`.
    output: the shard.
    words: what is asked besides the split's own expressions; None: those.
    """

    question: str
    output: Path
    words: Words | None = None

    @property
    def suffix(self) -> str:
        """What tells the kept answers of these words from those to the split's own; empty of these."""
        if self.words is None:
            return ""
        return f".{sha256(repr(self.words.canonical()).encode()).hexdigest()[:_DIGITS]}"


def wanted_of_models(
    models: Sequence[Path],
    questions: Sequence[str],
    shards: Sequence[Path],
    words: Sequence[Words | None] = (),
    words_shards: Sequence[Path] = (),
) -> dict[Path, list[Wanted]]:
    """What each model is to write: the answers to its questions, behind them those to what is asked besides.

    Args:
        models: of each question, the folder of the model that is asked.
        questions: prompts with `{phrase}`.
        shards: of each question.
        words: of each question, what is asked besides; missing where nothing is.
        words_shards: of those questions, in order, with which something is asked besides.
    """
    wanted: dict[Path, list[Wanted]] = {model: [] for model in models}
    for model, question, shard in zip(models, questions, shards, strict=True):
        wanted[model].append(Wanted(question, shard))
    besides = [each for each in zip(models, questions, words, strict=False) if each[2] is not None]
    for (model, question, mine), shard in zip(besides, words_shards, strict=True):
        wanted[model].append(Wanted(question, shard, mine))
    return wanted


@dataclass(frozen=True)
class Sheet:
    """What is answered in one shard.

    wanted: who asks for it first.
    shard: where the lines are kept.
    answers: folder of shards whose answers are used as well, or None.
    expressions: what is asked, in order.
    asked: the same with the identities of the answers.
    run: what the answers depend on, the question among it.
    """

    wanted: Wanted
    shard: Path
    answers: Path | None
    expressions: Sequence[Sentence]
    asked: Sequence[Asked]
    run: Run

    def is_of(self, wanted: Wanted) -> bool:
        """Whether these are the answers that are wanted."""
        return (wanted.question, wanted.words) == (self.wanted.question, self.wanted.words)


class Numbering:
    """The expressions of all sheets, numbered throughout in the place of their sent_id."""

    def __init__(self, sheets: Sequence[Sheet]) -> None:
        self._places = [(number, each) for number, sheet in enumerate(sheets) for each in sheet.expressions]
        self._sheets = sheets

    @property
    def expressions(self) -> list[Sentence]:
        """All of them, each with its number."""
        return [replace(each, sent_id=number) for number, (_, each) in enumerate(self._places)]

    @property
    def questions(self) -> dict[int, str]:
        """Number -> the question that is asked."""
        return {number: self._sheets[sheet].run.question for number, (sheet, _) in enumerate(self._places)}

    def numbers(self, sheet: int) -> dict[int, int]:
        """The numbers of a sheet's expressions by their sent_id."""
        return {each.sent_id: number for number, (owner, each) in enumerate(self._places) if owner == sheet}

    def sheet(self, number: int) -> int:
        """The sheet that has the expression of a number."""
        return self._places[number][0]

    def original(self, prediction: Prediction) -> Prediction:
        """A prediction of a numbered expression under its own sent_id."""
        return replace(prediction, sent_id=self._places[prediction.sent_id][1].sent_id)


class SheetsWriter:
    """The shards of all sheets as one: what is appended goes to the one that it is of.

    `finished` has the numbers of what needs no model any more; `interrupted`, of each shard whose next line was
    being written when an earlier job was killed, what had been written last.
    """

    def __init__(self, writers: Sequence[ShardWriter], numbering: Numbering) -> None:
        self._writers = writers
        self._numbering = numbering
        numbers = [numbering.numbers(sheet) for sheet in range(len(writers))]
        each = [*zip(writers, numbers, strict=True)]
        self.finished = {mine[sent_id] for writer, mine in each for sent_id in writer.finished}
        self.interrupted = {mine[last] for writer, mine in each if (last := writer.interrupted) in mine}

    def append(self, predicted: Sequence[tuple[Prediction, np.ndarray]]) -> None:
        """Add predictions of numbered expressions, each with its logits; raises as `ShardWriter.append` does."""
        for sheet, writer in enumerate(self._writers):
            mine = [
                (self._numbering.original(each), logits)
                for each, logits in predicted
                if self._numbering.sheet(each.sent_id) == sheet
            ]
            if mine:
                writer.append(mine)

    def finish(self) -> list[list[Prediction]]:
        """Put the lines of each shard into the order asked for; the records of each."""
        return [writer.finish() for writer in self._writers]


@contextmanager
def open_sheets(sheets: Sequence[Sheet], numbering: Numbering) -> Iterator[SheetsWriter]:
    """Continue or begin the shards of all sheets, as their only writer; raises as `open_shard` does."""
    with ExitStack() as held:
        writers = [
            held.enter_context(open_shard(each.shard, each.run, each.asked, each.answers)) for each in sheets
        ]
        yield SheetsWriter(writers, numbering)
