"""How far a shard is: told on stderr, and in a small file beside it that `refvessel status` reads."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from refvessel.artifacts import PROGRESS_SUFFIX, beside
from refvessel.errors import UserError
from refvessel.files import full_disk_is_a_user_error, read_json, write_json
from refvessel.jobs.signals import Stopped
from refvessel.locks import THIS_MACHINE, sign_of_life, somebody_lives

WAITING, LOADING, WARMING_UP, RUNNING = "waiting", "loading", "warming up", "running"
FINISHED, STOPPED, FAILED, KILLED = "finished", "stopped", "failed", "killed"
UNDER_WAY = (WAITING, LOADING, WARMING_UP, RUNNING)

_SECONDS_BETWEEN_FILES = 1.0
_SECONDS_BETWEEN_LINES = 10.0


@dataclass(frozen=True)
class Progress:
    """A moment of a shard's job.

    state: waiting (for a GPU), loading (the model), warming up (compiling it, with the first batch), running; at
        the end finished, stopped (by a signal) or failed; killed where the job is gone and left no word.
    warm_up_seconds: how long it warmed up; None where it did not, or has not yet.
    images_per_second, seconds_left: of this job since it is running; None before its first batch.
    memory: the most bytes in use so far, on the GPUs or else in the process.
    updated: seconds since the epoch.
    machine: a hash of the name of the machine where the job runs or ran.
    """

    state: str
    images_done: int
    images_total: int
    failures: int
    warm_up_seconds: float | None
    images_per_second: float | None
    seconds_left: float | None
    device: str
    memory: int
    updated: float
    machine: str = ""

    def __str__(self) -> str:
        """One line, without its end."""
        parts = [f"{self.state}: {self.images_done} of {self.images_total} images", f"{self.failures} failed"]
        if self.warm_up_seconds is not None:
            parts.append(f"warmed up in {duration(self.warm_up_seconds)}")
        if self.images_per_second is not None and self.seconds_left is not None:
            parts += [f"{self.images_per_second:.2f} images/s", f"{duration(self.seconds_left)} left"]
        return ", ".join([*parts, self.device])


def progress_file(shard: Path) -> Path:
    """Where the progress of a shard's job lies."""
    return beside(shard, PROGRESS_SUFFIX)


def read_progress(path: Path) -> Progress:
    """Read a progress file; raises UserError where it is none.

    A job of another machine is not called killed: locks, by which that is seen, may not reach there.
    """
    progress = _read(path)
    if progress.machine == THIS_MACHINE and somebody_lives(_sign(path)) is False:
        progress = _read(path)  # it may have ended between the two looks
        if progress.state in UNDER_WAY:
            return replace(progress, state=KILLED, images_per_second=None, seconds_left=None)
    return progress


def _read(path: Path) -> Progress:
    try:
        return Progress(**read_json(path))
    except TypeError:
        raise UserError(f"{path} is not of this version of RefVessel; delete it.") from None


def _sign(progress: Path) -> Path:
    """The file on which a job gives its sign of life."""
    return progress.with_name(f".{progress.name}.lock")


def duration(seconds: float) -> str:
    """A time span in the unit that suits it: 45 s, 12 min, 3.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


class Reporter:
    """Tells the progress of one shard: each change of state, and between them now and then."""

    def __init__(self, shard: Path, *, done: int, total: int, who: str = "") -> None:
        self._who = who
        self._path = progress_file(shard)
        self._done_before = done
        self._done = done
        self._total = total
        self._failures = 0
        self._device = ""
        self._memory = 0
        self._state = ""
        self._warm_up: float | None = None
        self._entered = self._written = self._printed = 0.0  # time.monotonic()

    def enter(self, state: str, device: str = "") -> None:
        """From now on the job is in this state."""
        now = time.monotonic()
        if state == RUNNING:
            self._warm_up = now - self._entered if self._state == WARMING_UP else None
            self._done_before = self._done
        if state in (WARMING_UP, RUNNING):
            self._entered = now
        self._state = state
        self._device = device or self._device
        self._tell(at_once=True)

    def advance(self, *, images: int, failures: int, memory: int) -> None:
        """So many more images are done, with so many failed expressions; `memory` is the peak in bytes."""
        self._done += images
        self._failures += failures
        self._memory = memory
        if self._state == WARMING_UP:
            self.enter(RUNNING)
        else:
            self._tell(at_once=False)

    def _tell(self, *, at_once: bool) -> None:
        now = time.monotonic()
        if at_once or now - self._written >= _SECONDS_BETWEEN_FILES:
            write_json(self._path, asdict(self._progress(now)))
            self._written = now
        if at_once or now - self._printed >= _SECONDS_BETWEEN_LINES:
            with full_disk_is_a_user_error(Path("The log")):
                print(f"{self._who}{self._progress(now)}", file=sys.stderr, flush=True)
            self._printed = now

    def _progress(self, now: float) -> Progress:
        done_here = self._done - self._done_before
        rate = done_here / (now - self._entered) if done_here else None
        return Progress(
            state=self._state,
            images_done=self._done,
            images_total=self._total,
            failures=self._failures,
            warm_up_seconds=self._warm_up,
            images_per_second=rate,
            seconds_left=(self._total - self._done) / rate if rate else None,
            device=self._device,
            memory=self._memory,
            updated=time.time(),
            machine=THIS_MACHINE,
        )


@contextmanager
def reported(shard: Path, *, done: int, total: int, who: str = "") -> Iterator[Reporter]:
    """Report the progress of a shard of `total` images, `done` of them by earlier jobs, and how the block ends.

    `who` begins its lines on stderr, where a job has several shards.
    """
    reporter = Reporter(shard, done=done, total=total, who=who)
    with sign_of_life(_sign(progress_file(shard))):
        try:
            yield reporter
        except BaseException as error:
            with suppress(UserError):  # a full disk, say: the error on its way is what matters
                reporter.enter(STOPPED if isinstance(error, Stopped) else FAILED)
            raise
        reporter.enter(FINISHED)
