"""What every Snakemake script does around its one call: a log, and one sentence for a user's mistake."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from refvessel.errors import UserError
from refvessel.jobs.runs import refuse
from refvessel.jobs.signals import end_with_parent


@contextmanager
def logged(log: str, *, private: bool = False) -> Iterator[None]:
    """Send what is printed to the rule's log; end with status 1 on a UserError, which the run tells at its end.

    A private log may name somebody: its folder is closed to others.
    """
    end_with_parent()
    if private:
        Path(log).parent.chmod(0o700)
    with Path(log).open("w", encoding="utf-8", buffering=1) as stream:
        try:
            with redirect_stdout(stream), redirect_stderr(stream):
                yield
        except UserError as error:
            print(error, file=stream)
            refuse(f"refvessel: {error}")
            sys.exit(1)
