"""A pickle machine that cannot call anything.

A pickle is a program for a stack machine whose instructions import and call what they name. This machine has the
instructions that build plain containers, and in place of import and call only a table of the few functions that
its caller offers. Everything else a pickle names becomes `Inert`: no module is imported, no attribute is looked
up, no state is set on any object.

A program can also do harm by what it builds: every instruction here costs little time and memory, their number is
bounded, and `require_walkable` bounds what a walk through the result costs.
"""

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

_INSTRUCTIONS = 20_000_000  # about a minute's; a checkpoint of thousands of tensors has some hundred thousand
_NAME = 1_000  # characters of what a pickle names
_INTEGER_BITS = 4096
_CONTAINERS = 10_000_000  # that a walk through the result may meet
_DEPTH = 100  # of containers within containers
_TOO_DEEP = f"it nests deeper than {_DEPTH} levels"


class UnreadablePickle(Exception):
    """The bytes are not a whole, well-formed pickle; the text says why."""


@dataclass(frozen=True, eq=False)
class Inert:
    """What stands for a class, a function or its result that the pickle names (`module.name`)."""

    origin: str


def load(data: bytes, *, calls: Mapping[str, Callable[..., Any]], persistent: Callable[[Any], Any]) -> Any:
    """Build the object that a pickle describes.

    `calls` maps `module.name` to the function that stands for it; `persistent` turns a persistent id into an
    object; either may raise UserError.
    Raises UnreadablePickle where the bytes are malformed or the program is excessively long.
    """
    machine = _Machine(calls, persistent)
    try:
        for instruction, argument, _ in islice(pickletools.genops(data), _INSTRUCTIONS):
            if instruction.name == "STOP":
                return machine.stack.pop()
            machine.run(instruction.name, argument)
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        raise UnreadablePickle(f"{type(error).__name__}: {error}") from error
    raise UnreadablePickle(f"it has no end within {_INSTRUCTIONS} instructions")


def require_walkable(value: Any) -> None:
    """Raise UnreadablePickle unless containers can be walked recursively in reasonable time and depth.

    What is referred to twice is met twice by whoever walks through, so a few hundred instructions can stand for
    more containers than there are atoms; one that holds itself is met for ever.
    """
    measured: dict[
        int, tuple[int, int]
    ] = {}  # id of a container -> containers that a walk meets in it, levels
    path = [(value, iter(_containers_in(value)))]  # the containers that are open, the outermost first
    opened = {id(value)}
    while path:
        container, inner = path[-1]
        fresh = next((each for each in inner if id(each) not in measured), None)
        if fresh is not None:
            if id(fresh) in opened:
                raise UnreadablePickle("it has a container that holds itself")
            if len(path) == _DEPTH:
                raise UnreadablePickle(_TOO_DEEP)
            path.append((fresh, iter(_containers_in(fresh))))
            opened.add(id(fresh))
        else:
            within = [measured[id(each)] for each in _containers_in(container)]
            count = 1 + sum(count for count, _ in within)
            levels = 1 + max((levels for _, levels in within), default=0)
            if count > _CONTAINERS:
                raise UnreadablePickle(f"it stands for more than {_CONTAINERS} containers")
            if levels > _DEPTH:
                raise UnreadablePickle(_TOO_DEEP)
            measured[id(container)] = count, levels
            opened.remove(id(container))
            path.pop()


def _containers_in(container: Any) -> list[Any]:
    if not isinstance(container, dict | list | tuple):
        return []
    values = container.values() if isinstance(container, dict) else container
    return [value for value in values if isinstance(value, dict | list | tuple)]


# Instructions whose argument is the value they push.
_LITERALS = frozenset(
    opcode.name
    for opcode in pickletools.opcodes
    if opcode.arg and opcode.stack_after and opcode.stack_after[0] is not pickletools.anyobject
)
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_SET": list,
    "EMPTY_DICT": dict,
}


class _Machine:
    """Stack, marks and memo; sets are read as lists, and a dict key that is a container as an `Inert`."""

    def __init__(self, calls: Mapping[str, Callable[..., Any]], persistent: Callable[[Any], Any]):
        self.stack: list[Any] = []
        self._marks: list[int] = []  # stack heights
        self._memo: dict[int, Any] = {}
        self._calls = calls
        self._persistent = persistent

    def run(self, name: str, argument: Any) -> None:
        """Execute one instruction, named as `pickletools` names it."""
        stack = self.stack
        if name in _LITERALS:
            if isinstance(argument, int) and argument.bit_length() > _INTEGER_BITS:
                raise ValueError(f"it has an integer of more than {_INTEGER_BITS} bits")
            stack.append(argument)
            return
        if name in _CONSTANTS:
            stack.append(_CONSTANTS[name]())
            return
        match name:
            case "PROTO" | "FRAME":
                pass
            case "MARK":
                self._marks.append(len(stack))
            case "POP":
                if self._marks and self._marks[-1] == len(stack):
                    self._marks.pop()
                else:
                    stack.pop()
            case "POP_MARK":
                self._pop_to_mark()
            case "DUP":
                stack.append(stack[-1])
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = stack[-1]
            case "MEMOIZE":
                self._memo[len(self._memo)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(self._memo[argument])
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(self._pop(int(name[-1]))))
            case "TUPLE":
                stack.append(tuple(self._pop_to_mark()))
            case "LIST" | "FROZENSET":
                stack.append(self._pop_to_mark())
            case "DICT":
                items = self._pop_to_mark()
                stack.append({})
                self._set_items(items)
            case "APPEND":
                self._extend(self._pop(1))
            case "APPENDS" | "ADDITEMS":
                self._extend(self._pop_to_mark())
            case "SETITEM":
                self._set_items(self._pop(2))
            case "SETITEMS":
                self._set_items(self._pop_to_mark())
            case "GLOBAL":
                stack.append(_named(argument.split(" ", 1)))
            case "STACK_GLOBAL":
                stack.append(_named(self._pop(2)))
            case "EXT1" | "EXT2" | "EXT4":
                stack.append(Inert(f"extension {argument}"))
            case "REDUCE" | "NEWOBJ":
                self._call(*self._pop(2))
            case "NEWOBJ_EX":
                named, arguments, _ = self._pop(3)
                self._call(named, arguments)
            case "OBJ":
                named, *arguments = self._pop_to_mark()
                self._call(named, tuple(arguments))
            case "INST":
                self._call(_named(argument.split(" ", 1)), tuple(self._pop_to_mark()))
            case "BUILD":
                stack.pop()  # the state; the object below it stays as it is
            case "PERSID":
                stack.append(self._persistent(argument))
            case "BINPERSID":
                stack.append(self._persistent(stack.pop()))
            case _:
                raise ValueError(f"the instruction {name} is not supported")

    def _pop(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise IndexError("its stack is empty")
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    def _pop_to_mark(self) -> list[Any]:
        start = self._marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def _call(self, named: Any, arguments: Any) -> None:
        if not isinstance(named, Inert) or not isinstance(arguments, tuple):
            raise ValueError("it calls what is not a function")
        function = self._calls.get(named.origin)
        self.stack.append(Inert(named.origin) if function is None else function(*arguments))

    def _extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif not isinstance(target, Inert):
            raise ValueError("it appends to what is not a list")

    def _set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, dict):
            for key, value in zip(items[::2], items[1::2], strict=True):
                # Hashing a deeply nested tuple overflows the interpreter's own stack.
                plain = key is None or isinstance(key, str | bytes | int | float)
                target[key if plain else Inert("key")] = value
        elif not isinstance(target, Inert):
            raise ValueError("it sets items of what is not a dict")


def _named(parts: list[str]) -> Inert:
    if sum(map(len, parts)) > _NAME:
        raise ValueError(f"it names something in more than {_NAME} characters")
    return Inert(".".join(parts))
