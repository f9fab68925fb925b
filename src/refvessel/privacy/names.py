"""The name table: which original name stands behind which pseudonym, in a folder that its owner alone can enter.

A CSV file a data set, with the columns `kind`, `published`, `original`. Kinds: `image` (image_id and relative
path), `patient` (pseudonym and patient), `identifier` (the patient's pseudonym and another word that identifies
the patient) and `word` (a phrase, label or split: published on purpose, whatever it equals).
"""

import csv
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from refvessel.errors import UserError
from refvessel.files import atomic_file

_COLUMNS = ["kind", "published", "original"]
_KINDS = ("image", "patient", "identifier", "word")


@dataclass(frozen=True, order=True)
class Name:
    """One row of a name table."""

    kind: str
    published: str
    original: str


def name_table(key_file: Path, dataset: str) -> Path:
    """Where the name table of a data set lies: beside the key of its pseudonyms."""
    return key_file.parent / "names" / f"{dataset}.csv"


def write_name_table(path: Path, names: Iterable[Name]) -> None:
    """Write a table of mode 0600 in a folder of mode 0700; raises UserError where others may enter the folder."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _require_private(path.parent)
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(_COLUMNS)
        table.writerows([name.kind, name.published, name.original] for name in names)
    path.chmod(0o600)


def read_name_table(path: Path) -> list[Name]:
    """The rows of a name table; raises UserError where it is absent or is none."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.reader(stream))
    except FileNotFoundError:
        raise UserError(
            f"{path} does not exist; convert the data set again, which writes this table."
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a name table ({error}); convert the data set again.") from None
    if not rows or rows[0] != _COLUMNS or not all(len(row) == 3 and row[0] in _KINDS for row in rows[1:]):
        raise UserError(f"{path} is not a name table; convert the data set again.")
    return [Name(*row) for row in rows[1:]]


def _require_private(folder: Path) -> None:
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        raise UserError(f"{folder} can be entered by others; run `chmod 700` on it.")
