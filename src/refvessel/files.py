"""Files that appear whole or not at all, their hashes, and room on the disk."""

import errno
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from refvessel.errors import UserError
from refvessel.temporaries import new_file, new_folder, new_temporary
from refvessel.yaml_text import LARGEST_YAML, parse_yaml

_SYNC_THREADS = (
    8  # file systems write what several threads wait for at once: ten times as many files per second
)
# How the text begins that version control leaves where a large file was not fetched.
_POINTERS = {
    b"version https://git-lfs.github.com/spec/": ("git-LFS", "git lfs pull"),
    b"/annex/objects/": ("git-annex", "git annex get"),
}

_HALF_CHARACTER = re.compile(rb"\\u[dD][89a-fA-F]")  # or one half of a whole one


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and renamed to `path`, on failure removed.

    Raises UserError where the disk is full, or `path` may not be written or is a folder.
    """
    path = Path(path)
    require_no_folder(path)
    with ExitStack() as held:
        with _refusal_is_a_user_error(path):
            temporary = held.enter_context(new_temporary(path, new_file))
        try:
            with full_disk_is_a_user_error(path):
                yield temporary
                temporary.chmod(0o666 & ~_umask())
                _sync(temporary)
                temporary.replace(path)
                _sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary directory beside `path`; on success it takes the place of `path`, else it is removed.

    An existing `path` is replaced only once the new directory is complete.
    Raises UserError where the disk is full or `path` may not be written.
    """
    path = Path(path)
    with ExitStack() as held:
        with _refusal_is_a_user_error(path):
            temporary = held.enter_context(new_temporary(path, new_folder))
        try:
            with full_disk_is_a_user_error(path):
                yield temporary
                temporary.chmod(0o777 & ~_umask())
                with ThreadPoolExecutor(_SYNC_THREADS) as threads:
                    list(threads.map(_sync, [temporary, *temporary.rglob("*")]))
                if path.exists():
                    retired = new_folder(path)
                    path.replace(retired)
                    temporary.replace(path)
                    shutil.rmtree(retired)
                else:
                    temporary.replace(path)
                _sync(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def copy_file(source: Path, target: Path) -> None:
    """Put a file's content at `target` too, atomically."""
    with atomic_file(target) as temporary:
        shutil.copyfile(source, temporary)


def share_file(source: Path, target: Path) -> None:
    """The same without room of its own on the disk, where its file system can: of files that only get replaced."""
    with atomic_file(target) as temporary:
        temporary.unlink()
        link_or_copy(source, temporary)


def link_or_copy(source: Path, target: Path) -> None:
    """Put a file's content at `target`, where nothing is, without room of its own where the file system can."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented UTF-8 JSON, atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")


def read_bytes(path: Path) -> bytes:
    """The content of a file; raises UserError where it cannot be read."""
    try:
        require_plain_file(path)
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}); check that it is there and its permissions."
        ) from None


def read_json(path: Path) -> Any:
    """Read a JSON file, with or without a byte order mark; raises UserError where it is missing or is not JSON."""
    with unreadable_is_a_user_error(path):
        require_content(path)
        content = Path(path).read_bytes()
    return parse_json(content, str(path))


def parse_json(content: bytes, what: str) -> Any:
    """The value of a JSON text; raises UserError, opening with `what`, where it is none.

    Half a character, which JSON's escapes can write, is refused: no file can hold it.
    """
    try:
        value = json.loads(content)  # which knows byte order marks
        if _HALF_CHARACTER.search(content):
            json.dumps(value, ensure_ascii=False).encode()
    # A ValueError beside its subclasses: an integer of more than 4,300 digits.
    except (ValueError, RecursionError) as error:
        reason = "half a character" if isinstance(error, UnicodeEncodeError) else error
        raise UserError(f"{what} is not valid JSON ({reason}); repair or replace the file.") from None
    return value


def read_yaml(path: Path) -> Any:
    """Read a YAML file within the bounds of `parse_yaml`; raises UserError where it is missing or beyond them."""
    with unreadable_is_a_user_error(path), Path(path).open("rb") as stream:
        text = stream.read(LARGEST_YAML + 1)  # one more, which says that there is too much
    return parse_yaml(text, str(path))


@contextmanager
def unreadable_is_a_user_error(path: Path) -> Iterator[None]:
    """Turn a file that is missing or cannot be read, met while reading `path` in the block, into a UserError."""
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; check the path.") from None
    except OSError as error:
        raise UserError(f"{path} could not be read ({error.strerror}); check the path.") from None


def require_plain_file(path: Path) -> None:
    """Raise UserError where a path leads to a pipe, which is waited for without end, or to a device."""
    mode = Path(path).stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # of a folder, opening it says what is wrong
        raise UserError(f"{path} is a pipe or a device, not a file; replace it by the file itself.")


def require_content(path: Path) -> None:
    """Raise UserError where a file has no content of its own.

    That is one in whose place a pointer of git-LFS or git-annex stands, and a pipe or a device.
    """
    require_plain_file(path)
    with Path(path).open("rb") as file:
        require_no_pointer(file.read(max(map(len, _POINTERS))), str(path))


def require_no_pointer(content: bytes, what: str) -> None:
    """The same of what is read already, or its first bytes; `what` is the file's name."""
    for sign, (system, command) in _POINTERS.items():
        if content.startswith(sign):
            raise UserError(
                f"{what} is a pointer of {system}, not the file itself; run `{command}` in the repository it was "
                "copied from."
            )


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hex digits."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def full_disk_is_a_user_error(path: Path) -> Iterator[None]:
    """Turn a disk that is full, met while writing `path` in the block, into a UserError."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(
            f"{path} could not be written: the disk is full; free some space and run again."
        ) from error


def require_no_folder(path: Path) -> None:
    """Raise UserError where a folder is in the place of a file that will be written."""
    path = Path(path)
    if path.is_dir() and not path.is_symlink():  # a link would be replaced, not what it leads to
        raise UserError(f"{path} is a folder, not a file to write; choose another output.")


def require_free_space(path: Path, needed: int) -> None:
    """Raise UserError unless the file system that will hold `path` has `needed` bytes free."""
    existing = next(
        parent for parent in [Path(path).absolute(), *Path(path).absolute().parents] if parent.exists()
    )
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise UserError(
            f"{path} needs {needed / 1e9:.2f} GB but its disk has {free / 1e9:.2f} GB free; "
            "free some space or choose another output."
        )


@contextmanager
def _refusal_is_a_user_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{path} could not be written ({error.strerror}); choose another output.") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
