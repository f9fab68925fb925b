"""What every Snakemake script does around its one call: a log, and one sentence for a user's mistake."""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from refvessel.errors import UserError
from refvessel.privacy.private import private_folder, write_private


@contextmanager
def logged(log: str) -> Iterator[None]:
    """Send what is printed to the rule's log; end with status 1 and one sentence on a UserError."""
    with Path(log).open("w", encoding="utf-8", buffering=1) as stream:
        try:
            with redirect_stdout(stream), redirect_stderr(stream):
                yield
        except UserError as error:
            print(error, file=stream)
            _end(str(error))


@contextmanager
def logged_in_private(log: str, private_log: str, *, names_on_screen: bool = False) -> Iterator[None]:
    """Send all that is printed to a log that its owner alone can read, since it may name somebody.

    The console and the rule's own log get one sentence that says where that is, and the error itself only with
    `names_on_screen`. What libraries and child processes print is private, too.
    """
    private = Path(private_log)
    _make_private(private)
    Path(log).write_text(f"What was printed stands in {private}.\n", "utf-8")
    try:
        with _everything_into(private):
            try:
                yield
            except UserError as error:
                print(error, file=sys.stderr)
                raise
            except Exception:
                traceback.print_exc()
                raise
    except Exception as error:
        sentence = _without_names(error, private)
        Path(log).write_text(sentence + "\n", "utf-8")
        _end(str(error) if names_on_screen else sentence)


def _without_names(error: Exception, private: Path) -> str:
    if not isinstance(error, UserError):
        return f"It stopped with an unexpected {type(error).__name__}; its traceback stands in {private}."
    problems = max(1, str(error).count("\n- "))
    told = "1 problem was" if problems == 1 else f"{problems} problems were"
    return (
        f"{told} found in the data and nothing was written; to name nobody here, what to do stands in {private} "
        "(on the console, too, with privacy.names_on_screen: true)."
    )


def _end(sentence: str) -> None:
    print(f"refvessel: {sentence}", file=sys.stderr)
    sys.exit(1)


def _make_private(path: Path) -> None:
    """Make an empty log, and close its folder and the one of all private logs to others."""
    private_folder(path.parent.parent)
    write_private(path, "")


@contextmanager
def _everything_into(path: Path) -> Iterator[None]:
    """Send standard output and standard error of this process and its children to a file."""
    with path.open("a", encoding="utf-8", errors="backslashreplace", buffering=1) as stream:
        sys.stdout.flush()
        sys.stderr.flush()
        kept = [(descriptor, os.dup(descriptor)) for descriptor in (1, 2)]
        try:
            for descriptor, _ in kept:
                os.dup2(stream.fileno(), descriptor)
            with redirect_stdout(stream), redirect_stderr(stream):
                yield
        finally:
            for descriptor, original in kept:
                os.dup2(original, descriptor)
                os.close(original)
