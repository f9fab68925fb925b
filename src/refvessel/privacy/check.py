"""The search for original names in a folder that is to be published."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from refvessel.errors import UserError
from refvessel.parallel import call_each
from refvessel.privacy.kinds import pieces_of_file, pieces_of_name
from refvessel.privacy.name_tables import Name, read_name_table
from refvessel.privacy.pieces import Piece, Unsearchable
from refvessel.privacy.private import write_private
from refvessel.privacy.terms import Hit, Terms

_SHOWN = 20  # findings told at once
_FILES_PER_TASK = 16


@dataclass(frozen=True)
class Checked:
    """What a search covered, where it found nothing."""

    files: int
    names: int
    names_left_out: int  # too short or too common to be searched for


@dataclass(frozen=True)
class _Finding:
    """A place that names somebody, or cannot be searched: as it may be told, and as only its owner may read it."""

    told: str
    private: str
    name: Name | None = None


def check_privacy(
    folder: Path,
    tables: Iterable[Path],
    *,
    accepted: Collection[str] = (),
    published: Iterable[str] = (),
    private_log: Path | None = None,
    shown_as: Path | None = None,
    without_data: Collection[str] = (),
    threads: int = 1,
) -> Checked:
    """Search all files below `folder` for the original names of the tables: names, text, archives, metadata.

    Args:
        folder: What is to be published.
        tables: Name tables, as conversions write them.
        accepted: Pseudonyms of patients or images whose names may stand there.
        published: Words that are published on purpose, such as the names of models.
        private_log: Gets which name was found where; only its owner can read it.
        shown_as: The folder's name in messages.
        without_data: Paths below `folder` of files that are the same whoever was examined; they are not searched.
        threads: Processes that share the work.

    Raises UserError where a name is found or a file cannot be searched. The message says where and under which
    pseudonym, not which name, since messages are logged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; name the one that is to be published.")
    terms = Terms([read_name_table(Path(table)) for table in tables], published=published, accepted=accepted)
    shown = folder if shown_as is None else Path(shown_as)
    paths = [
        path for path in sorted(folder.rglob("*")) if path.relative_to(folder).as_posix() not in without_data
    ]
    files = sum(path.is_symlink() or not path.is_dir() for path in paths)
    search = partial(_findings, folder=folder, shown=shown, terms=terms)
    found = call_each(search, paths, threads=threads, calls_per_task=_FILES_PER_TASK)
    findings = list(chain.from_iterable(found))
    if findings:
        if private_log is not None:
            write_private(private_log, "".join(f"{finding.private}\n" for finding in findings))
        raise UserError(_message(shown, findings, private_log))
    return Checked(files, terms.searched, terms.left_out)


def _findings(path: Path, folder: Path, shown: Path, terms: Terms) -> list[_Finding]:
    parts = path.relative_to(folder).parts
    where = str(shown / Path(*("***" if _is_name(part, terms) else part for part in parts)))
    try:
        return _found(terms, _pieces(path, where), str(path.relative_to(folder)))
    except Unsearchable as reason:
        told = f"{where} cannot be searched: {reason}"
        return [_Finding(told if terms.find(str(reason)) is None else f"{where} cannot be searched", told)]


def _pieces(path: Path, where: str) -> Iterator[Piece]:
    if path.is_dir() and not path.is_symlink():
        yield from pieces_of_name(path.name, where)
        return
    yield from pieces_of_name(path.name, f"{where}, its name")
    if path.is_symlink():
        yield from pieces_of_name(str(path.readlink()), f"{where}, its target")
    elif path.is_file():
        yield from pieces_of_file(path, where)


def _found(terms: Terms, pieces: Iterable[Piece], path: str) -> list[_Finding]:
    """One finding per place and person."""
    found: dict[tuple[str, str], _Finding] = {}
    for piece in pieces:
        for hit in terms.hits(piece):
            key = (piece.where, hit.name.published)
            if key not in found:
                found[key] = _finding(piece.where, hit, path, terms)
    return list(found.values())


def _finding(where: str, hit: Hit, path: str, terms: Terms) -> _Finding:
    told = where if not _is_name(where, terms) else f"{where.partition(', ')[0]}, ***"
    name = hit.name
    return _Finding(
        f"{told} names the {name.kind} {name.published}",
        f"{path}: {where} names the {name.kind} {name.published}, {name.original!r}, by {hit.term!r}, "
        f"in {hit.around!r}",
        name,
    )


def _is_name(text: str, terms: Terms) -> bool:
    return any(True for piece in pieces_of_name(text, "") for _ in terms.hits(piece))


def _message(folder: Path, findings: list[_Finding], private_log: Path | None) -> str:
    log = "" if private_log is None else f" What was found stands in {private_log}."
    if len(findings) == 1:
        return f"{findings[0].told}; remove it before {folder} is published.{log}{_way_out(findings)}"
    lines = [f"{len(findings)} places in {folder} name somebody or cannot be searched; remove them:"]
    lines += [f"- {finding.told}." for finding in findings[:_SHOWN]]
    if len(findings) > _SHOWN:
        lines.append(f"- and {len(findings) - _SHOWN} more.")
    if log:
        lines.append(f"{log.strip()}{_way_out(findings)}")
    return "\n".join(lines)


def _way_out(findings: list[_Finding]) -> str:
    names = list(dict.fromkeys(finding.name.published for finding in findings if finding.name is not None))
    if not names:
        return ""
    return f" A word that is there by chance is accepted by its pseudonym: privacy.accepted: [{names[0]}]."
