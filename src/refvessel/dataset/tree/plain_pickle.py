"""A program that reads a pickle of plain data and prints it as JSON, within bounds of memory, time and depth.

    python plain_pickle.py FILE BYTES SECONDS [LONGEST]

With LONGEST the pickle is a list, and its items are printed one per line as they are read, so that few are in
memory; they have that many characters together at most.

The unpickler is written in C and trusts what it reads: bytes that nest deep enough overflow its stack, nine of
them can ask for gigabytes, and a few hundred can stand for a list of more items than there are atoms. Here this
costs a process of its own, never the one that asked. Nothing but the standard library is imported.
"""

import contextlib
import json
import pickle
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, ClassVar, NoReturn

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


class _Memo:
    """What a pickle may refer back to; what nobody asked for among the next entries is forgotten."""

    _KEPT = 1 << 16

    def __init__(self) -> None:
        self._asked_for: dict[int, Any] = {}
        self._young: dict[int, Any] = {}
        self._old: dict[int, Any] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __setitem__(self, number: int, value: Any) -> None:
        if len(self._young) >= self._KEPT:
            self._old, self._young = self._young, {}
        self._young[number] = value
        self._asked_for.pop(number, None)
        self._count += 1

    def __getitem__(self, number: int) -> Any:
        for entries in (self._asked_for, self._young, self._old):
            if number in entries:
                return self._asked_for.setdefault(number, entries[number])
        raise KeyError(number)


class _ListUnpickler(pickle._Unpickler):
    """The same of a list, whose items `print_item` gets; they are not kept."""

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(pickle._Unpickler.dispatch)
    # What the class written in Python has besides: the containers that are being filled, and what was remembered.
    pop_mark: Callable[[], list[Any]]
    stack: list[Any]
    metastack: list[list[Any]]
    memo: Any
    print_item: Callable[[Any], None]
    printed: list[Any] | None = None

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it names {module}.{name}")

    def load_appends(self) -> None:
        self._extend(self.pop_mark())

    def load_append(self) -> None:
        self._extend([self.stack.pop()])

    def _extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if self.metastack or len(self.stack) > 1 or not isinstance(target, list):
            target.extend(items)
            return
        self.printed = target
        for item in items:
            self.print_item(item)

    dispatch[pickle.APPENDS[0]] = load_appends
    dispatch[pickle.APPEND[0]] = load_append


def print_items(stream: IO[bytes], longest: int) -> None:
    """Print the items of a pickled list, one per line."""
    left = longest

    def print_item(item: Any) -> None:
        nonlocal left
        text = json.dumps(item, default=_text)
        left -= len(text)
        if left < 0:
            raise ValueError(f"its items have more than {longest} characters")
        print(text)

    unpickler = _ListUnpickler(stream)
    unpickler.memo, unpickler.print_item = _Memo(), print_item
    value = unpickler.load()
    if value is not unpickler.printed and value != []:
        raise ValueError(f"it holds {type(value).__name__}, not a list")


def main(path: str, memory: str, seconds: str, longest: str = "") -> None:
    """Print the JSON, or one line on standard error and status 1."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))
    with contextlib.suppress(ValueError, OSError):  # macOS has no such bound
        resource.setrlimit(resource.RLIMIT_AS, (int(memory), int(memory)))
    try:
        with Path(path).open("rb") as stream:
            if longest:
                sys.setrecursionlimit(_DEPTH)
                print_items(stream, int(longest))
                return
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
