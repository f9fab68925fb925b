"""A shard on the disk: appended to line by line, resumed where a killed job stopped."""

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from refvessel.errors import UserError
from refvessel.files import atomic_file, read_json, write_json
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
    """Appends predictions to a shard, and knows the expressions that an earlier job finished.

    Failed expressions of an earlier job count as unfinished. Raises UserError where the shard was begun by a
    run that differs from this one.
    """

    def __init__(self, path: Path, run: Run) -> None:
        self._path = Path(path)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.exists():
            _require_same_run(self._path, run)
        self.finished = self._keep_finished()
        write_json(run_file(self._path), asdict(run))

    def append(self, predictions: Iterable[Prediction]) -> None:
        """Add lines; they are on the disk when this returns. Raises UserError where the disk is full."""
        lines = "".join(prediction.to_line() for prediction in predictions).encode()
        try:
            with self._path.open("ab") as stream:
                stream.write(lines)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise UserError(
                f"{self._path} could not be written ({error.strerror}); it can be resumed."
            ) from error

    def _keep_finished(self) -> set[int]:
        """Drop a half-written last line and failed expressions from the file; the sent_ids of what is left."""
        if not self._path.exists():
            self._path.touch()
            return set()
        kept = [each for each in read_shard(self._path) if each.status != FAILED]
        with atomic_file(self._path) as temporary:
            temporary.write_text("".join(each.to_line() for each in kept), "utf-8")
        return {each.sent_id for each in kept}


def _require_same_run(path: Path, run: Run) -> None:
    earlier = read_run(path)
    differing = sorted(key for key, value in asdict(run).items() if earlier and earlier.get(key) != value)
    if differing:
        raise UserError(
            f"{path} was begun by a run that differs in {', '.join(differing)}; "
            "delete it or choose another output."
        )
