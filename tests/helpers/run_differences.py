"""Whether two runs made the same artifacts, but for how long things took."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

_FOLDERS_OF_TIMES = ("logs", "benchmarks")
_FILES_OF_TIMES = (".progress.json",)
_TIME = "seconds"  # that an answer took: a field of shards and a column of their table
_DIGITS = 12  # of a hash, in reports


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
    mine, theirs = set(_artifacts(one)), set(_artifacts(other))
    compared = Compared(absent=sorted(mine ^ theirs))
    unequal = [
        name for name in sorted(mine & theirs) if (one / name).read_bytes() != (other / name).read_bytes()
    ]
    compared.same = len(mine & theirs) - len(unequal)
    # A report names its sources by their hashes: those of unequal files stand for the files, which are compared.
    hashes = [_hashes(results, unequal) for results in (one, other)]
    for name in unequal:
        if _timeless(one / name, hashes[0]) == _timeless(other / name, hashes[1]):
            compared.but_for_seconds += 1
        else:
            compared.different.append(name)
    return compared


def _artifacts(results: Path) -> Iterator[str]:
    for path in results.rglob("*"):
        name = path.relative_to(results)
        timed = name.parts[0] in _FOLDERS_OF_TIMES or path.name.endswith(_FILES_OF_TIMES)
        if path.is_file() and not path.name.startswith(".") and not timed:
            yield name.as_posix()


def _hashes(results: Path, names: list[str]) -> dict[str, str]:
    """Hash of each of these files, whole and as reports shorten it -> the file's name."""
    whole = {hashlib.sha256((results / name).read_bytes()).hexdigest(): name for name in names}
    return whole | {each[:_DIGITS]: name for each, name in whole.items()}


def _timeless(path: Path, hashes: dict[str, str]) -> object:
    """What a file says, without seconds, and with names in the place of hashes."""
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        metadata = _named(repr(table.schema.metadata), hashes)
        return (table.drop_columns([_TIME]) if _TIME in table.column_names else table), metadata
    text = _named(path.read_text("utf-8"), hashes)
    if path.suffix == ".jsonl":
        records = map(json.loads, text.splitlines())
        return [{key: value for key, value in each.items() if key != _TIME} for each in records]
    return text


def _named(text: str, hashes: dict[str, str]) -> str:
    for each, name in hashes.items():
        text = text.replace(each, name)
    return text
