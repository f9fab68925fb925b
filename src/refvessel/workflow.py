"""What every Snakemake script does around its one call: a log, and one sentence for a user's mistake."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from refvessel.errors import UserError
from refvessel.files import full_disk_is_a_user_error


@contextmanager
def logged(log: str, *, private: bool = False) -> Iterator[None]:
    """Send what is printed to the rule's log; end with status 1 and one sentence on a UserError.

    A private log may name somebody: its folder is closed to others.
    """
    if private:
        Path(log).parent.chmod(0o700)
    try:
        # The log may lie on the disk that is full.
        with (
            full_disk_is_a_user_error(Path(log)),
            Path(log).open("w", encoding="utf-8", buffering=1) as stream,
        ):
            try:
                with redirect_stdout(stream), redirect_stderr(stream):
                    yield
            except UserError as error:
                print(error, file=stream)
                raise
    except UserError as error:
        print(f"refvessel: {error}", file=sys.stderr)
        sys.exit(1)
