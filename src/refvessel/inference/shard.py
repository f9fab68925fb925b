"""A shard on the disk: appended to line by line, resumed where a killed job stopped."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from refvessel.errors import UserError
from refvessel.files import atomic_file, read_json, write_json
from refvessel.inference.locks import sole_writer
from refvessel.inference.records import FAILED, Prediction, read_shard


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
    batch_size: int
    max_new_tokens: int
    versions: dict[str, str]


def run_file(shard: Path) -> Path:
    """Where the description of a shard's run lies."""
    return Path(shard).with_suffix(".run.json")


def read_run(shard: Path) -> dict[str, Any] | None:
    """The description of a shard's run; None where the shard came without it."""
    path = run_file(shard)
    return read_json(path) if path.exists() else None


class ShardWriter:
    """Appends predictions to a shard; `finished` has the sent_ids that an earlier job left."""

    def __init__(self, path: Path, finished: set[int]) -> None:
        self.finished = finished
        self._path = path

    def append(self, predictions: Sequence[Prediction]) -> None:
        """Add lines; they are on the disk when this returns.

        Raises UserError where the disk is full; the shard is then as it was before.
        """
        rest = memoryview("".join(prediction.to_line() for prediction in predictions).encode())
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


@contextmanager
def open_shard(path: Path, run: Run) -> Iterator[ShardWriter]:
    """Continue or begin a shard, as its only writer.

    A half-written last line and failed expressions of an earlier job are dropped. Raises UserError where another
    job is writing the shard, and where it was begun by a run that differs from this one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with sole_writer(path):
        if path.exists():
            _require_same_run(path, run)
        finished = _keep_finished(path)
        write_json(run_file(path), asdict(run))
        yield ShardWriter(path, finished)


def _keep_finished(path: Path) -> set[int]:
    """Drop from the file what is not finished; the sent_ids of what is left."""
    path.touch()
    kept = [each for each in read_shard(path) if each.status != FAILED]
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
