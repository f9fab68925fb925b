"""The name table: which original name stands behind which pseudonym, in a folder that its owner alone can enter.

One CSV file per data set and its names, with the columns `kind`, `published`, `original`. Kinds: `image`
(image_id and relative path), `patient` (pseudonym and patient), `identifier` (the patient's pseudonym and
another word that identifies the patient) and `word` (a phrase, label, split or the data set's name: published on
purpose, whatever it equals).

A table belongs to the trees that state its identity, `name_table` in dataset.json: two data sets of one name have
two tables, and a copied or moved tree keeps its own.
"""

import csv
import io
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refvessel.artifacts import DATASET, MANIFEST
from refvessel.errors import UserError
from refvessel.files import atomic_file, read_json
from refvessel.privacy.private import private_folder

_COLUMNS = ["kind", "published", "original"]
_KINDS = ("image", "patient", "identifier", "word")


@dataclass(frozen=True, order=True)
class Name:
    """One row of a name table."""

    kind: str
    published: str
    original: str


def name_folder(key_file: Path) -> Path:
    """Where name tables lie: beside the key of their pseudonyms."""
    return Path(key_file).parent / "names"


def name_table(key_file: Path, dataset: str, identity: str | None = None) -> Path:
    """Where a name table lies; without an identity, where older versions kept the one of a data set's name."""
    return name_folder(key_file) / (f"{dataset}-{identity}.csv" if identity else f"{dataset}.csv")


def keep_names(key_file: Path, dataset: str, names: Iterable[Name], identify: Callable[[str], str]) -> str:
    """Write the table of a data set beside the key; return its identity, which `identify` makes of its rows.

    The identity must be made under the key, since it is published. It does not depend on the data set's own name,
    so that a tree is the same to the byte wherever it is written.
    """
    rows = sorted(names)
    identity = identify(_as_csv(name for name in rows if name != Name("word", dataset, dataset)))
    write_name_table(name_table(key_file, dataset, identity), rows)
    return identity


def table_of_tree(tree: Path, key_file: Path) -> Path:
    """The name table of a tree with pseudonyms.

    Raises UserError where it is absent, or lacks a name that stands behind a pseudonym of the tree.
    """
    described = read_json(Path(tree) / DATASET)
    table = name_table(key_file, Path(tree).name, described.get("name_table"))
    if "name_table" in described and not table.exists():  # of a tree that was renamed
        table = next(name_folder(key_file).glob(f"*-{described['name_table']}.csv"), table)
    known = {name.published for name in read_name_table(table)}
    missing = sorted(_pseudonyms(described) - known)
    if missing:
        raise UserError(
            f"{table} is the name table of other data than {tree}: it lacks {missing[0]}; "
            "convert the data set again."
        )
    return table


def stated_identities(folder: Path) -> dict[str, Path]:
    """Identity -> file that states it: of the name tables of all trees and reports below a folder."""
    stated: dict[str, Path] = {}
    for name, key in ((DATASET, "name_table"), (MANIFEST, "name_tables")):
        for path in sorted(Path(folder).rglob(name)):
            content = read_json(path)
            found = content.get(key) if isinstance(content, dict) else None
            for identity in [found] if isinstance(found, str) else found or []:
                stated.setdefault(str(identity), path)
    return stated


def write_name_table(path: Path, names: Iterable[Name]) -> None:
    """Write a table of mode 0600 in a folder of mode 0700; raises UserError where others may enter the folder."""
    if path.parent.exists():
        _require_private(path.parent)
    private_folder(path.parent)
    with atomic_file(path) as temporary:
        temporary.write_text(_as_csv(names), "utf-8", newline="")
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


def _as_csv(names: Iterable[Name]) -> str:
    stream = io.StringIO(newline="")
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(_COLUMNS)
    table.writerows([name.kind, name.published, name.original] for name in names)
    return stream.getvalue()


def _pseudonyms(described: dict[str, Any]) -> set[str]:
    """Of images, those of patients begin alike: behind the one of whom no name gives a clue stands none."""
    return {*described.get("images", {}), *described.get("dropped", {})}


def _require_private(folder: Path) -> None:
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        raise UserError(f"{folder} can be entered by others; run `chmod 700` on it.")
