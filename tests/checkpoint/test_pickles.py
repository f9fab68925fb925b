import contextlib
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refvessel.checkpoint.pickles import Inert, UnreadablePickle, load, require_walkable


def read(program: bytes) -> Any:
    def refuse(identifier: Any) -> Any:
        raise ValueError("no persistent ids here")

    return load(program, calls={"collections.OrderedDict": lambda: {}}, persistent=refuse)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.lists(inner).map(tuple)
    ),
)


@settings(deadline=None)
@given(plain, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_containers_are_read_as_pickle_reads_them(value, protocol):
    assert read(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("protocol", range(3, pickle.HIGHEST_PROTOCOL + 1))
def test_bytes_and_ordered_dicts_are_read(protocol):
    value = OrderedDict(a=b"bytes", b=b"x" * 300)
    assert read(pickle.dumps(value, protocol)) == dict(value)


def test_shared_and_cyclic_containers_keep_their_identity():
    inner: list = []
    inner.append(inner)
    result = read(pickle.dumps([inner, inner]))
    assert result[0] is result[1] is result[0][0]


class Unknown:
    """A class whose instances carry state, list items and dict items."""

    def __init__(self):
        self.state = "state"


def test_an_instance_of_any_class_becomes_inert():
    result = read(pickle.dumps({"buffer": Unknown(), "loss": 1.5}))
    assert isinstance(result["buffer"], Inert)
    assert result["buffer"].origin.endswith("Unknown")
    assert result["loss"] == 1.5


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


def programs(marker: Path) -> dict[str, bytes]:
    """Pickles that would create `marker`."""
    touch = f"open({str(marker)!r}, 'w').close()"
    opened = f"cbuiltins\nopen\n(V{marker}\nVw\ntR."
    chain = (
        "cbuiltins\ngetattr\n(cbuiltins\ngetattr\n(c__main__\n__builtins__\nV__dict__\ntRVget\ntR(Vexec\ntR"
        f"(V{touch}\ntR."
    )
    return {
        "os.system": pickle.dumps(Calls(os.system, f"touch {marker}")),
        "eval": pickle.dumps(Calls(eval, touch)),
        "exec": pickle.dumps(Calls(exec, touch), 0),
        "open": opened.encode(),
        "getattr chain": chain.encode(),
        "instance opcode": f"(V{touch}\nibuiltins\nexec\n.".encode(),
        "object opcode": f"(cbuiltins\nexec\nV{touch}\no.".encode(),
        "nested": pickle.dumps([{"deep": (Calls(exec, touch),)}]),
    }


def test_the_hostile_pickles_would_act_if_they_were_unpickled(tmp_path):
    marker = tmp_path / "marker"
    for name, program in programs(marker).items():
        if name == "getattr chain":
            continue  # depends on what __main__ is
        pickle.loads(program)
        assert marker.exists(), name
        marker.unlink()


@pytest.mark.parametrize("name", programs(Path("marker")))
def test_nothing_that_a_pickle_names_is_called(name, tmp_path):
    marker = tmp_path / "marker"
    read(programs(marker)[name])
    assert not marker.exists()


def test_state_is_set_on_no_object():
    result = read(b"ccollections\nOrderedDict\n}Vx\nI1\nsb.")
    assert isinstance(result, Inert)
    assert not hasattr(OrderedDict, "x")


def test_a_giant_memo_index_costs_no_memory():
    assert read(b"Nr\xff\xff\xff\xff.") is None


def test_a_deeply_nested_dict_key_does_not_overflow_the_stack():
    result = read(b"})" + b"\x85" * 200_000 + b"Ns.")
    assert [type(key) for key in result] == [Inert]


@pytest.mark.parametrize(
    "program",
    [
        b"",
        b"N",
        b".",
        b"0.",
        b"t.",
        b"h\x05.",
        b"NNR.",
        b"]NNs.",
        b"}Na.",
        b"\x97.",
        b"\xff.",
        b"I\n.",
        b"NQ.",
        b"}(Nu.",
    ],
)
def test_a_malformed_pickle_is_refused(program):
    with pytest.raises(UnreadablePickle):
        read(program)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(program):
    with contextlib.suppress(UnreadablePickle):
        read(program)


NESTED = 300_000


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (b"]" * NESTED + b"a" * (NESTED - 1) + b".", "nests deeper than 100 levels"),
        (b")" + b"\x85" * NESTED + b".", "nests deeper than 100 levels"),
        (b"}" * 1 + b"Va\n}" * NESTED + b"s" * NESTED + b".", "nests deeper than 100 levels"),
        (b"]q\0h\0a.", "holds itself"),
        (b"}q\0Va\n]h\0as.", "holds itself"),
        (
            b"]q\0" + b"".join(b"]q%c(h%ch%ce" % (n + 1, n, n) for n in range(60)) + b".",
            "stands for more than 10000000 containers",
        ),
        (b"]q\0" + b"".join(b"h%ch%c\x86q%c" % (n, n, n + 1) for n in range(60)) + b".", "stands for more"),
    ],
)
def test_what_cannot_be_walked_in_reasonable_time_is_refused(program, reason):
    value = read(program)
    with pytest.raises(UnreadablePickle, match=reason):
        require_walkable(value)


@settings(deadline=None)
@given(plain)
def test_plain_containers_can_be_walked(value):
    require_walkable(value)


def test_what_is_shared_without_excess_can_be_walked():
    inner = [{"a": 1}] * 1000
    require_walkable([inner] * 1000)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (b"\x8b" + (5_000).to_bytes(4, "little") + b"\x7f" * 5_000 + b".", "integer of more than"),
        (b"I" + b"9" * 5_000 + b"\n.", "digits"),
        (b"c" + b"a" * 2_000 + b"\nb\n.", "more than 1000 characters"),
        (b"V" + b"a" * 2_000 + b"\nq\0h\0\x93.", "more than 1000 characters"),
        (b"\x96" + (1 << 35).to_bytes(8, "little") + b".", "bytes"),
        (b"\x8e" + (1 << 35).to_bytes(8, "little") + b".", "bytes"),
    ],
)
def test_excessive_values_are_refused(program, reason):
    with pytest.raises(UnreadablePickle, match=reason):
        read(program)


def test_an_endless_program_is_given_up(monkeypatch):
    monkeypatch.setattr("refvessel.checkpoint.pickles._INSTRUCTIONS", 1000)
    with pytest.raises(UnreadablePickle, match="no end within 1000 instructions"):
        read(b"N0" * 1000 + b"N.")
