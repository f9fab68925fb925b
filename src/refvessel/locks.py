"""Locks that the kernel lets go of when their holder ends, however it ends."""

import fcntl
import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from refvessel.errors import UserError

# Names the machine in files that others may read. On some file systems locks do not reach beyond it.
THIS_MACHINE = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]

_open: set[int] = set()  # descriptors


def _close_inherited() -> None:
    """A forked process would keep the locks of its parent beyond that one's end."""
    while _open:
        os.close(_open.pop())


os.register_at_fork(after_in_child=_close_inherited)


@contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Hold a lock on the file `path`, which is made where it is absent; yields whether it could be had at once.

    The file stays: were it removed, two jobs could hold locks on two files of one name.
    """
    _make(path)
    with lock_of(path) as mine:
        if mine is None:
            raise UserError(f"{path} cannot be locked: its file system has no locks; choose another folder.")
        yield mine


@contextmanager
def lock_of(path: Path, *, shared: bool = False) -> Iterator[bool | None]:
    """Hold a lock on the file or folder `path`, alone or shared; yields whether it could be had at once.

    It yields None where the file system has no locks.
    """
    with _opened(path) as descriptor:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            mine = False
        except OSError:
            mine = None
        else:
            mine = True
        yield mine


@contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """Be the only job that writes `path`; raises UserError where another one is."""
    with try_lock(path.with_name(f".{path.name}.lock")) as mine:
        if not mine:
            raise UserError(f"{path} is being written by another job; wait for it or choose another output.")
        yield


@contextmanager
def sign_of_life(path: Path) -> Iterator[None]:
    """Let `somebody_lives(path)` be true until the block ends or the process does, in whatever way.

    Several may give it at once, on one file, which is made where it is absent.
    """
    with ExitStack() as held:
        with suppress(OSError):  # no locks, a full disk: nobody can tell then
            path.parent.mkdir(parents=True, exist_ok=True)
            _make(path)
            descriptor = held.enter_context(_opened(path))
            fcntl.flock(descriptor, fcntl.LOCK_SH)  # it waits for who is looking, a moment
        yield


def somebody_lives(path: Path) -> bool | None:
    """Whether a process gives a sign of life on the file `path`; None where that cannot be told."""
    if not path.exists():
        return None
    with lock_of(path) as nobody:
        return None if nobody is None else not nobody


def _make(path: Path) -> None:
    with suppress(FileExistsError):  # made at the same moment by another user, perhaps
        path.open("xb").close()


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    # Reading is enough for a lock, and all that the file of another user may allow.
    descriptor = os.open(path, os.O_RDONLY)
    _open.add(descriptor)
    try:
        yield descriptor
    finally:
        if descriptor in _open:  # not in a forked process
            _open.remove(descriptor)
            os.close(descriptor)
