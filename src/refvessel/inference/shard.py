"""A shard on the disk: appended to line by line, resumed where a killed job stopped."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from refvessel.errors import UserError
from refvessel.files import atomic_file, read_json, write_json
from refvessel.inference.logits import LogitsWriter
from refvessel.inference.records import FAILED, Prediction, read_shard
from refvessel.jobs.locks import sole_writer


@dataclass(frozen=True)
class Run:
    """What a shard's predictions depend on; it lies beside the shard as `NAME.run.json`."""

    model: str
    dataset: str
    split: str
    shard: str
    question: str
    dtype: str
    device: str
    language_weights: str | None
    batch_size: int | None
    draft: str | None
    max_new_tokens: int
    flips: bool
    compiled: bool
    save_logits: bool
    versions: dict[str, str]


def run_file(shard: Path) -> Path:
    """Where the description of a shard's run lies."""
    return Path(shard).with_suffix(".run.json")


def read_run(shard: Path) -> dict[str, Any] | None:
    """The description of a shard's run; None where the shard came without it."""
    path = run_file(shard)
    return read_json(path) if path.exists() else None


class ShardWriter:
    """Appends predictions to a shard, and their logits beside it where there is a writer of logits.

    `finished` has the sent_ids that an earlier job left.
    """

    def __init__(self, path: Path, finished: set[int], logits: LogitsWriter | None) -> None:
        self.finished = finished
        self._path = path
        self._logits = logits

    def append(self, predicted: Sequence[tuple[Prediction, np.ndarray]]) -> None:
        """Add predictions, each with its logits; they are on the disk when this returns.

        Raises UserError where the disk is full; the shard is then as it was before.
        """
        if self._logits:  # before the lines: what has a line is finished
            self._logits.add({each.sent_id: logits for each, logits in predicted if each.masks})
        rest = memoryview("".join(prediction.to_line() for prediction, _ in predicted).encode())
        with self._path.open("ab", buffering=0) as stream:
            end = stream.seek(0, os.SEEK_END)
            try:
                while rest:
                    rest = rest[stream.write(rest) :]
                os.fsync(stream.fileno())
            except OSError as error:
                stream.truncate(end)
                raise UserError(
                    f"{self._path} could not be written ({error.strerror}); make room and run again: "
                    "what is finished is kept."
                ) from error

    def finish(self) -> None:
        """Say that the shard has all its lines."""
        if self._logits:
            self._logits.finish({each.sent_id for each in read_shard(self._path) if each.masks})


@contextmanager
def open_shard(path: Path, run: Run) -> Iterator[ShardWriter]:
    """Continue or begin a shard, as its only writer.

    Dropped are a half-written last line, failed expressions of an earlier job, and those whose logits are lost.
    Raises UserError where another job is writing the shard, and where it was begun by a run that differs from
    this one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with sole_writer(path):
        if path.exists():
            _require_same_run(path, run)
        logits = LogitsWriter(path) if run.save_logits else None
        finished = _keep_finished(path, logits)
        write_json(run_file(path), asdict(run))
        yield ShardWriter(path, finished, logits)


def _keep_finished(path: Path, logits: LogitsWriter | None) -> set[int]:
    """Drop from the file what is not finished; the sent_ids of what is left."""
    path.touch()
    kept = [each for each in read_shard(path) if each.status != FAILED]
    if logits:
        stored = logits.stored()
        kept = [each for each in kept if not each.masks or each.sent_id in stored]
    lines = "".join(each.to_line() for each in kept).encode()
    if lines != path.read_bytes():
        with atomic_file(path) as temporary:
            temporary.write_bytes(lines)
    return {each.sent_id for each in kept}


def _require_same_run(path: Path, run: Run) -> None:
    earlier = read_run(path)
    differing = sorted(key for key, value in asdict(run).items() if earlier and earlier.get(key) != value)
    if differing:
        raise UserError(
            f"{path} was begun by a run that differs in {', '.join(differing)}; "
            "delete it or choose another output."
        )
