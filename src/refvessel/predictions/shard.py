"""A shard on the disk: appended to line by line, resumed where a killed job stopped."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from io import FileIO
from pathlib import Path

import numpy as np

from refvessel.answer_status import Status
from refvessel.errors import UserError
from refvessel.files import atomic_file, copy_file, share_file, write_json
from refvessel.locks import sole_writer
from refvessel.predictions.answers import find_answers
from refvessel.predictions.asked import Asked
from refvessel.predictions.logits_file import logits_file
from refvessel.predictions.logits_writer import LogitsWriter, Place, places_of_logits
from refvessel.predictions.prediction import Prediction, read_shard
from refvessel.predictions.run_file import COMMON, Run, read_run, run_file
from refvessel.rle import empty


class ShardWriter:
    """Appends predictions to a shard, and their logits beside it where there is a writer of logits.

    `finished` has the sent_ids that need no model any more; `interrupted` is the one that was written last where
    an earlier job was killed while it wrote the next, else None.
    """

    def __init__(
        self, path: Path, asked: Sequence[Asked], logits: LogitsWriter | None, interrupted: int | None
    ) -> None:
        self._lines = list(map(_without_masks, read_shard(path)))  # what stands on each
        self.finished = {each.sent_id for each in self._lines}
        self.interrupted = interrupted
        self._path = path
        self._asked = {each.sent_id: each for each in asked}
        self._logits = logits

    def keep_logits(self, logits: Mapping[int, np.ndarray]) -> None:
        """Store the logits, by sent_id, of predictions that are added later, without logits of their own."""
        if self._logits:
            self._logits.add({self._asked[sent_id].identity: each for sent_id, each in logits.items()})

    def append(self, predicted: Sequence[tuple[Prediction, np.ndarray]]) -> None:
        """Add predictions, each with its logits; they are on the disk when this returns.

        Raises UserError where the disk is full; the shard is then as it was before.
        """
        named = [
            (replace(each, identity=self._asked[each.sent_id].identity), logits) for each, logits in predicted
        ]
        if self._logits:  # before the lines: what has a line is finished
            self._logits.add({each.identity: logits for each, logits in named if len(logits)})
        with self._path.open("ab", buffering=0) as stream:
            end = stream.seek(0, os.SEEK_END)
            try:
                for each, _ in named:  # one at a time: the lines of a long sequence are many
                    _write(stream, each.to_line().encode())
                os.fsync(stream.fileno())
            except OSError as error:
                stream.truncate(end)
                raise UserError(
                    f"{self._path} could not be written ({error.strerror}); make room and run again: "
                    "what is finished is kept."
                ) from error
        self._lines += [_without_masks(each) for each, _ in named]

    def finish(self) -> list[Prediction]:
        """Put the lines into the order asked for, which does not tell how the shard came about.

        Returns their records, without masks.
        """
        records = {each.sent_id: each for each in self._lines}
        finished = [records[sent_id] for sent_id in self._asked if sent_id in records]
        if finished != self._lines:
            before = self._path.read_bytes()
            lines = before.split(b"\n")[:-1]
            places = {each.sent_id: line for each, line in zip(self._lines, lines, strict=True)}
            in_order = b"".join(places[each.sent_id] + b"\n" for each in finished)
            _replace_content(self._path, before, in_order)
            self._lines = finished
        if self._logits:
            self._logits.finish([each for each in finished if each.num_seg])
        return finished


def _write(stream: FileIO, line: bytes) -> None:
    rest = memoryview(line)
    while rest:
        rest = rest[stream.write(rest) :]


def _without_masks(record: Prediction) -> Prediction:
    """What need not be read again of a record that is on the disk."""
    return replace(record, mask=empty(1, 1), masks=[])


@contextmanager
def open_shard(
    path: Path, run: Run, asked: Sequence[Asked], answers: Path | None = None
) -> Iterator[ShardWriter]:
    """Continue or begin a shard, as its only writer.

    Kept are the lines that an earlier job left, and added those of other shards in the folder `answers`, as far
    as their answers are of the identities asked for. Failed expressions are tried again.

    Args:
        path: the shard, JSON lines.
        run: this job's.
        asked: the shard's expressions.
        answers: folder of shards whose answers are used as well.

    Raises UserError where another job is writing the shard, and where it was begun by a run that differs from
    this one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with sole_writer(path):
        if path.exists():
            _require_same_run(path, run)
            run = replace(run, computed_by=(read_run(path) or {}).get("computed_by"))
        path.touch()
        interrupted = _interrupted(path)
        logits = LogitsWriter(path) if run.save_logits else None
        _keep_finished(path, asked, logits)
        if answers is not None:
            _add_answers(path, asked, answers, logits)
        write_json(run_file(path), asdict(run))
        yield ShardWriter(path, asked, logits, interrupted)


def publish_shard(kept: Path, output: Path) -> None:
    """Copy a finished shard, with what lies beside it, to where the workflow looks for it; `kept` stays."""
    if logits_file(kept).exists():
        share_file(logits_file(kept), logits_file(output))
    copy_file(run_file(kept), run_file(output))
    copy_file(kept, output)  # last: where it is, the others are


def _interrupted(path: Path) -> int | None:
    """The expression before a half-written line."""
    whole = read_shard(path)
    return whole[-1].sent_id if whole and not path.read_bytes().endswith(b"\n") else None


def _keep_finished(path: Path, asked: Sequence[Asked], logits: LogitsWriter | None) -> None:
    """Drop from the file what is not asked for or not finished, and number the rest as it is asked for now."""
    before = read_shard(path)
    given = {each.identity: each for each in before if each.status != Status.FAILED}
    places = places_of_logits(path, before) if logits else {}
    if logits:
        given = {key: each for key, each in given.items() if not each.masks or key in places}
    kept = [each.label(given[each.identity]) for each in asked if each.identity in given]
    if logits and {(each.sent_id, each.identity) for each in kept} != {
        (each.sent_id, each.identity) for each in before
    }:
        logits.unpack(places)
    position = {each.identity: number for number, each in enumerate(before)}
    _write_lines(path, sorted(kept, key=lambda each: position[each.identity]))


def _add_answers(path: Path, asked: Sequence[Asked], answers: Path, logits: LogitsWriter | None) -> None:
    """Append what other shards have answered already."""
    kept = read_shard(path)
    missing = {each.identity for each in asked} - {each.identity for each in kept}
    found = find_answers(answers, missing, but=path)
    if logits:
        found = _with_logits(found, logits)
    added = [each.label(found[each.identity][0]) for each in asked if each.identity in found]
    if added:
        _write_lines(path, [*kept, *added])


def _with_logits(
    found: Mapping[str, tuple[Prediction, Path]], logits: LogitsWriter
) -> dict[str, tuple[Prediction, Path]]:
    """Those whose logits could be copied, or that have none."""
    usable = {key: (each, shard) for key, (each, shard) in found.items() if not each.masks}
    for shard in {shard for _, shard in found.values()}:
        with suppress(UserError, OSError):  # another job may be finishing or removing it
            places = places_of_logits(shard, read_shard(shard))
            theirs: dict[str, Place] = {
                key: places[key]
                for key, (each, owner) in found.items()
                if owner == shard and each.masks and key in places
            }
            logits.copy(theirs)
            usable |= {key: found[key] for key in theirs}
    return usable


def _write_lines(path: Path, records: Sequence[Prediction]) -> None:
    """Write these lines; a file that has them is left alone."""
    _replace_content(path, path.read_bytes(), "".join(each.to_line() for each in records).encode())


def _replace_content(path: Path, before: bytes, after: bytes) -> None:
    if after != before:
        with atomic_file(path) as temporary:
            temporary.write_bytes(after)


def _require_same_run(path: Path, run: Run) -> None:
    earlier = read_run(path)
    wanted = asdict(run)
    differing = sorted(key for key in (*COMMON, "shard") if earlier and earlier.get(key) != wanted[key])
    if differing:
        raise UserError(
            f"{path} was begun by a run that differs in {', '.join(differing)}; "
            "delete it or choose another output."
        )
