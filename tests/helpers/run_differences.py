"""Whether two runs made the same artifacts, but for how long things took."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

# What tells how long things took or where they ran, and nothing else.
_OF_TIMES = (".progress.json",)
_FOLDERS_OF_TIMES = ("logs", "benchmarks")
_TIME = "seconds"  # of an answer


@dataclass
class Compared:
    """How many files are the same to the byte or but for seconds; which differ; which only one run has."""

    same: int = 0
    but_for_seconds: int = 0
    different: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """One line."""
        return (
            f"{self.same} files are the same to the byte, {self.but_for_seconds} but for measured seconds and "
            f"their hashes, {len(self.different)} differ, {len(self.absent)} are in one run only"
        )


def differences(one: Path, other: Path) -> Compared:
    """Compare all artifacts of two runs' results."""
    compared = Compared()
    mine, theirs = set(_artifacts(one)), set(_artifacts(other))
    compared.absent = sorted(mine ^ theirs)
    timed = [_hashes_of_timed(results) for results in (one, other)]
    for name in sorted(mine & theirs):
        if (one / name).read_bytes() == (other / name).read_bytes():
            compared.same += 1
            continue
        read = _READERS.get((one / name).suffix, _bytes)
        if read(one / name, timed[0]) == read(other / name, timed[1]):
            compared.but_for_seconds += 1
        else:
            compared.different.append(name)
    return compared


def _artifacts(results: Path) -> Iterator[str]:
    for path in results.rglob("*"):
        name = path.relative_to(results)
        timed = name.parts[0] in _FOLDERS_OF_TIMES or path.name.endswith(_OF_TIMES)
        if path.is_file() and not path.name.startswith(".") and not timed:
            yield name.as_posix()


def _hashes_of_timed(results: Path) -> list[str]:
    """Hashes of the tables that hold seconds, by which reports name them, whole and shortened."""
    whole = [hashlib.sha256(path.read_bytes()).hexdigest() for path in results.rglob("predictions.parquet")]
    return [*whole, *(each[:12] for each in whole)]


def _bytes(path: Path, _hashes: list[str]) -> object:
    return path.read_bytes()


def _without_hashes(path: Path, hashes: list[str]) -> object:
    text = path.read_text("utf-8")
    for each in hashes:
        text = text.replace(each, "-")
    return text


def _lines(path: Path, _hashes: list[str]) -> object:
    records = map(json.loads, path.read_text("utf-8").splitlines())
    return [{key: value for key, value in each.items() if key != _TIME} for each in records]


def _table(path: Path, _hashes: list[str]) -> object:
    table = pq.read_table(path)
    return table.drop_columns([_TIME]) if _TIME in table.column_names else table


_READERS: dict[str, Callable[[Path, list[str]], object]] = {
    ".html": _without_hashes,
    ".json": _without_hashes,
    ".jsonl": _lines,
    ".parquet": _table,
}
