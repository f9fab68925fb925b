"""The search for original names in a folder that is to be published."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from refvessel.errors import UserError
from refvessel.privacy.contents import Said, Unsearchable, said_in
from refvessel.privacy.names import Name, read_name_table
from refvessel.privacy.terms import Terms

_SHOWN = 20  # findings told at once
_SHORTEST_GUESS = 8  # characters; shorter terms occur by chance in bytes that are no text


@dataclass(frozen=True)
class Checked:
    """What a search covered, where it found nothing."""

    files: int
    names: int
    names_left_out: int  # too short or too common to be searched for


def check_privacy(folder: Path, tables: Iterable[Path]) -> Checked:
    """Search all files below `folder` for the original names of the tables: names, text, archives, metadata.

    Raises UserError where one is found or a file cannot be searched. The message says where and under which
    pseudonym, not which name, since messages are logged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; name the one that is to be published.")
    terms = Terms([read_name_table(Path(table)) for table in tables])
    files = 0
    findings: list[str] = []
    for path in sorted(folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            findings += _found(terms, [Said(_shown(path, folder, terms), path.name)])
            continue
        files += 1
        findings += _findings(path, folder, terms)
    if findings:
        raise UserError(_message(folder, findings))
    return Checked(files, terms.searched, terms.left_out)


def _findings(path: Path, folder: Path, terms: Terms) -> list[str]:
    where = _shown(path, folder, terms)
    try:
        return _found(terms, _said(path, where))
    except Unsearchable as reason:
        return [f"{where} cannot be searched: {reason}"]


def _said(path: Path, where: str) -> Iterator[Said]:
    yield Said(f"{where}, its name", path.name)
    if path.is_symlink():
        yield Said(f"{where}, its target", str(path.readlink()))
    elif path.is_file():
        yield from said_in(path, where)


def _found(terms: Terms, pieces: Iterable[Said]) -> list[str]:
    """One finding a place."""
    found: dict[str, Name] = {}
    for piece in pieces:
        shortest = _SHORTEST_GUESS if piece.guessed else 1
        if piece.where not in found and (name := terms.find(piece.text, shortest=shortest)) is not None:
            found[piece.where] = name
    return [
        f"{_redacted(where, terms)} names the {name.kind} {name.published}" for where, name in found.items()
    ]


def _redacted(where: str, terms: Terms) -> str:
    """The place, without what stands after the file where that names somebody."""
    return where if terms.find(where) is None else f"{where.partition(', ')[0]}, ***"


def _shown(path: Path, folder: Path, terms: Terms) -> str:
    """The path, without the parts that name somebody."""
    parts = path.relative_to(folder).parts
    return str(folder / Path(*("***" if terms.find(part) else part for part in parts)))


def _message(folder: Path, findings: list[str]) -> str:
    if len(findings) == 1:
        return f"{findings[0]}; remove it before {folder} is published."
    lines = [f"{len(findings)} places in {folder} name somebody or cannot be searched; remove them:"]
    lines += [f"- {finding}." for finding in findings[:_SHOWN]]
    if len(findings) > _SHOWN:
        lines.append(f"- and {len(findings) - _SHOWN} more.")
    return "\n".join(lines)
