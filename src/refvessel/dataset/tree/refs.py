"""`refs(unc).p`: a pickled list of dicts, written the same to the byte, read without running anything
and within bounds."""

import json
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

from refvessel.dataset.tree import plain_pickle
from refvessel.dataset.tree.stored_entries import StoredItems
from refvessel.errors import UserError
from refvessel.files import parse_json, unreadable_is_a_user_error

PROTOCOL = 2  # the official file's

# Of the process that reads one: a file of 50,000 refs (32 MB) takes 4 s and 16 bytes of memory per byte.
_MEMORY, _MEMORY_PER_BYTE = 256 << 20, 48
_SECONDS, _BYTES_PER_SECOND = 3, 1 << 20
_PATIENCE = 10  # times the seconds of computing, on a busy machine


def read_refs(path: Path) -> list[Any]:
    """The list in a `refs(unc).p`; raises UserError where it is absent, damaged or holds more than plain data."""
    return require_refs(read_pickle(path), path)


def require_refs(value: Any, path: Path) -> list[Any]:
    """What a file holds, if it is a list; raises UserError where it is not."""
    if not isinstance(value, list):
        raise UserError(f"{path} holds {type(value).__name__}, not a list of refs; replace the file.")
    return value


def read_pickle(path: Path) -> Any:
    """The plain data in a pickle; raises UserError where it is absent, damaged or holds anything else.

    What JSON does not know comes as JSON writes it: tuples are lists, and keys are text.
    """
    path = Path(path)
    content = _as_json(path, lambda size: [_MEMORY + _MEMORY_PER_BYTE * size], subprocess.PIPE)
    return parse_json(content, f"{path}, read as plain data,")


def stored_refs(path: Path) -> Sequence[Any]:
    """The list in a `refs(unc).p` that is too large for memory, raising as `read_refs` does.

    Its JSON is in a temporary file as long as the list is used. In memory is one that refers back too far.
    """
    lines = tempfile.TemporaryFile()  # noqa: SIM115 (the list closes it)
    try:
        _as_json(Path(path), lambda size: [_MEMORY, _MEMORY_PER_BYTE * size], lines)
    except UserError:
        return read_refs(path)  # or what is wrong with it
    items = StoredItems(lines, f"{path}, read as plain data,")
    lines.seek(0)
    begin = 0
    for line in lines:
        items.add(begin, begin := begin + len(line))
    return items


def _as_json(path: Path, bounds: Callable[[int], list[int]], output: int | IO[bytes]) -> bytes:
    """What a process of its own prints of a pickle (see `plain_pickle`), nothing where `output` gets it.

    `bounds` gives, by the file's size, the process's memory and, where its items are printed, their characters.
    """
    with unreadable_is_a_user_error(path):
        size = path.stat().st_size
    memory, *longest = map(str, bounds(size))
    seconds = _SECONDS + size // _BYTES_PER_SECOND
    command = [sys.executable, "-I", "-S", plain_pickle.__file__, str(path), memory, str(seconds), *longest]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
            timeout=_PATIENCE * seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        reason = f"reading it takes more than {_PATIENCE * seconds} s"
    else:
        if done.returncode == 0:
            return done.stdout or b""
        reason = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
            reason = f"reading it takes more than {seconds} s"
        elif done.returncode < 0:
            reason = f"its reader ended by {signal.Signals(-done.returncode).name}"
    raise UserError(f"{path} is not a pickle of plain data ({reason}); replace the file.")


def write_refs(path: Path, refs: list[dict[str, Any]]) -> None:
    """Pickle JSON-like refs."""
    # A pickle stores an object once and refers back to it: equal texts that are or are not one object give other
    # bytes. Through JSON every key is one object and every value its own, whatever made the refs.
    plain = [json.loads(json.dumps(ref), object_pairs_hook=_with_known_keys) for ref in refs]
    with Path(path).open("wb") as stream:
        pickle.dump(plain, stream, protocol=PROTOCOL)


def _with_known_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {sys.intern(key): value for key, value in pairs}
