"""Locks that the kernel lets go of when their holder ends, however it ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from refvessel.errors import UserError

_open: set[BinaryIO] = set()


def _close_inherited() -> None:
    """A forked process would keep the locks of its parent beyond that one's end."""
    while _open:
        _open.pop().close()


os.register_at_fork(after_in_child=_close_inherited)


@contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Hold a lock on the file `path`, which is made where it is absent; yields whether it could be had at once.

    The file stays: were it removed, two jobs could hold locks on two files of one name.
    """
    with suppress(FileExistsError):  # made at the same moment by another user, perhaps
        path.open("xb").close()
    # Reading is enough for a lock, and all that the file of another user may allow.
    with path.open("rb") as stream:
        _open.add(stream)
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            mine = False
        else:
            mine = True
        try:
            yield mine
        finally:
            _open.discard(stream)


@contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """Be the only job that writes `path`; raises UserError where another one is."""
    with try_lock(path.with_name(f".{path.name}.lock")) as mine:
        if not mine:
            raise UserError(f"{path} is being written by another job; wait for it or choose another output.")
        yield
