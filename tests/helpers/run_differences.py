"""Whether two runs made the same artifacts, but for how long things took."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

_FOLDERS_OF_TIMES = ("logs", "benchmarks")
_FILES_OF_TIMES = (".progress.json",)
_TIME = "seconds"  # that an answer took: a field of shards and a column of their table
# On a run's page what its jobs took, and how it was started.
_COSTS = re.compile(
    r"<table[^>]*>\s*<caption>Jobs as Snakemake measured them.*?</table>|<div class=.run.>.*?</div>",
    re.DOTALL,
)
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
            f"what follows, {len(self.different)} differ, {len(self.absent)} are in one run only"
        )


def differences(one: Path, other: Path) -> Compared:
    """Compare all artifacts of two runs' results."""
    mine, theirs = set(_artifacts(one)), set(_artifacts(other))
    compared = Compared(absent=sorted(mine ^ theirs))
    unequal = [
        name for name in sorted(mine & theirs) if (one / name).read_bytes() != (other / name).read_bytes()
    ]
    compared.same = len(mine & theirs) - len(unequal)
    # A report names its sources by hash and size: those of unequal files stand for the files, which are compared.
    marks = [_marks(results, unequal) for results in (one, other)]
    for name in unequal:
        if _timeless(one / name, marks[0]) == _timeless(other / name, marks[1]):
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


def _marks(results: Path, names: list[str]) -> dict[str, str]:
    """Size and hash of each of these files, the hash whole and as reports shorten it -> the file's name."""
    marks = {}
    for name in names:
        content = (results / name).read_bytes()
        whole = hashlib.sha256(content).hexdigest()
        marks |= {whole: name, whole[:_DIGITS]: name, str(len(content)): f"size of {name}"}
    return marks


def _timeless(path: Path, marks: dict[str, str]) -> object:
    """What a file says, without what was measured, and with names in the place of hashes and sizes."""
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        metadata = _named(repr(table.schema.metadata), marks)
        return (table.drop_columns([_TIME]) if _TIME in table.column_names else table), metadata
    text = _named(_COSTS.sub("", path.read_text("utf-8")), marks)
    if path.suffix == ".jsonl":
        records = map(json.loads, text.splitlines())
        return [{key: value for key, value in each.items() if key != _TIME} for each in records]
    return text


def _named(text: str, marks: dict[str, str]) -> str:
    return re.sub(r"\b[0-9a-f]+\b", lambda found: marks.get(found[0], found[0]), text)
