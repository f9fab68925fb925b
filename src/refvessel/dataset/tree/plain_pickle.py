"""A program that reads a pickle of plain data and prints it as JSON, within bounds of memory, time and depth.

    python plain_pickle.py FILE BYTES SECONDS

The unpickler is written in C and trusts what it reads: bytes that nest deep enough overflow its stack, nine of
them can ask for gigabytes, and a few hundred can stand for a list of more items than there are atoms. Here this
costs a process of its own, never the one that asked. Nothing but the standard library is imported.
"""

import contextlib
import json
import pickle
import resource
import sys
from pathlib import Path
from typing import NoReturn

_DEPTH = 100  # of containers within containers; refs have three


class _PlainUnpickler(pickle.Unpickler):
    """Containers, numbers and text: these need no class, and a pickle that names one is refused."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it names {module}.{name}")


def _text(value: object) -> str:
    """What pycocotools keeps run lengths as: ASCII in bytes."""
    if isinstance(value, bytes):
        return value.decode("ascii")
    raise TypeError(f"it holds a value of {type(value).__name__}")


def main(path: str, memory: str, seconds: str) -> None:
    """Print the JSON, or one line on standard error and status 1."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))
    with contextlib.suppress(ValueError, OSError):  # macOS has no such bound
        resource.setrlimit(resource.RLIMIT_AS, (int(memory), int(memory)))
    try:
        with Path(path).open("rb") as stream:
            value = _PlainUnpickler(stream).load()
        sys.setrecursionlimit(_DEPTH)
        text = json.dumps(value, default=_text)
    except MemoryError:
        sys.exit(f"it needs more than {int(memory) >> 20} MB")
    except RecursionError:
        sys.exit(f"it nests deeper than {_DEPTH} levels")
    # The bytes are untrusted, and the unpickler answers damaged ones with nearly any exception.
    except Exception as error:
        sys.exit(" ".join(f"{error or type(error).__name__}".split())[:300])
    sys.stdout.write(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
