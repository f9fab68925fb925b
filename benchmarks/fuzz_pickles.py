#!/usr/bin/env python3
"""Feed the reader of .pth files with what hypothesis can think of, and watch what it does.

    python benchmarks/fuzz_pickles.py [--minutes 3]

Two kinds of input: archives around pickle programs made of real instructions that name dangerous functions and
torch's own, and real checkpoints with bytes changed, cut out and doubled. An audit hook sees every import, call
of a program, socket and file opened for writing. Prints one table; ends with status 1 where an input was neither
read nor refused by a UserError, had an effect, took more than SLOW seconds, or made the process grow by more than
MAX_GROWTH bytes.
"""

import argparse
import codecs
import io
import pickle
import resource
import struct
import sys
import tempfile
import time
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path

import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from refvessel.checkpoint.contents import describe
from refvessel.checkpoint.torch_file import read_torch_file
from refvessel.errors import UserError

SLOW = 5.0  # seconds
MAX_GROWTH = 1e9  # bytes
EXAMPLES = 500  # a round

NAMES = (
    *("os system", "posix system", "subprocess Popen", "builtins eval", "builtins exec", "builtins getattr"),
    *(
        "builtins open",
        "builtins __import__",
        "builtins bytearray",
        "importlib import_module",
        "runpy run_path",
    ),
    *("collections OrderedDict", "torch Size", "torch FloatStorage", "torch._utils _rebuild_tensor_v2"),
    *(
        "torch._utils _rebuild_parameter",
        "torch.storage _load_from_bytes",
        "numpy.core.multiarray _reconstruct",
    ),
)
COUNTS = st.sampled_from([0, 1, 2, 4, 255, 1 << 20, (1 << 31) - 1, 1 << 40, (1 << 63) - 1, -1, -(1 << 31)])
WITHOUT_ARGUMENT = b"(.0125NQR]abdelostu)}\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94"

instructions = st.one_of(
    st.sampled_from([bytes([code]) for code in WITHOUT_ARGUMENT]),
    st.sampled_from(NAMES).map(lambda name: f"c{name.replace(' ', chr(10))}\n".encode()),
    st.sampled_from(NAMES).map(lambda name: f"i{name.replace(' ', chr(10))}\n".encode()),
    st.sampled_from(["storage", "0", "cpu", "state_dict", "meta", "cfg", "model", "touch /"]).map(
        lambda text: f"V{text}\n".encode()
    ),
    COUNTS.map(lambda number: f"I{number}\n".encode()),
    st.integers(0, 255).map(lambda index: b"q" + bytes([index])),
    st.integers(0, 255).map(lambda index: b"h" + bytes([index])),
    st.integers(0, (1 << 32) - 1).map(lambda index: b"r" + struct.pack("<I", index)),
    st.integers(0, (1 << 64) - 1).map(lambda length: b"\x8e" + struct.pack("<Q", length)),
    st.binary(min_size=1, max_size=6),
)
programs = st.lists(instructions, max_size=60).map(lambda parts: b"".join(parts) + b".")


def archive(program: bytes) -> bytes:
    """A torch-like zip around a pickle program, with one storage of 64 bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("a/data.pkl", program)
        file.writestr("a/data/0", bytes(64))
    return stream.getvalue()


def checkpoint() -> bytes:
    """A small training checkpoint as torch writes it."""
    stream = io.BytesIO()
    weights = OrderedDict((f"text_hidden_fcs.{n}.weight", torch.randn(4, 4)) for n in range(3))
    torch.save({"state_dict": weights, "meta": {"cfg": "template = 'qwen_chat'"}}, stream)
    return stream.getvalue()


@st.composite
def damaged(draw: st.DrawFn, whole: bytes = checkpoint()) -> bytes:
    """A checkpoint with up to eight stretches changed, cut out, doubled or inserted."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 8))):
        place = draw(st.integers(0, len(content) - 1))
        length = draw(st.integers(1, 16))
        match draw(st.sampled_from(["change", "cut", "double", "insert"])):
            case "change":
                content[place] = draw(st.integers(0, 255))
            case "cut":
                del content[place : place + length]
            case "double":
                content[place:place] = content[place : place + length]
            case "insert":
                content[place:place] = draw(st.binary(max_size=length))
        if not content:
            break
    return bytes(content)


inputs = st.one_of(
    programs.map(archive), programs.map(lambda body: archive(pickle.PROTO + b"\x02" + body)), damaged()
)

FORBIDDEN = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "subprocess.",
    "socket.",
    "ctypes.",
    "exec",
    "import",
)
watching = False
effects: list[str] = []


def watch(event: str, arguments: tuple) -> None:
    """Audit hook: note what reading a checkpoint must never do."""
    if not watching:
        return
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if writes or event.startswith(FORBIDDEN):
        effects.append(f"{event} {arguments[:2]!r}")


def main() -> None:
    """Feed, watch, print a table; status 1 where a bar is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=3)
    deadline = time.monotonic() + 60 * parser.parse_args().minutes
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    sys.addaudithook(watch)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fuzzed.pth"

        @given(inputs)
        @settings(
            max_examples=EXAMPLES,
            phases=[Phase.generate],
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        def feed(content: bytes) -> None:
            nonlocal slowest
            global watching
            path.write_bytes(content)
            start = time.monotonic()
            watching = True
            try:
                read_torch_file(path)
                describe(path)
                outcomes["read"] += 1
            except UserError:
                outcomes["refused"] += 1
            finally:
                watching = False
                slowest = max(slowest, time.monotonic() - start)

        path.write_bytes(checkpoint())
        describe(path)  # modules that are imported once are imported here,
        for codec in ("cp437", "raw_unicode_escape"):  # and so are those for odd texts
            codecs.lookup(codec)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        rounds = 0
        while time.monotonic() < deadline:
            seed(rounds)(feed)()
            rounds += 1
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    rows = {
        "inputs": sum(outcomes.values()),
        "read": outcomes["read"],
        "refused in one sentence": outcomes["refused"],
        "effects": len(effects),
        "slowest": f"{slowest:.2f} s",
        "growth of the process": f"{grown / 1e6:.0f} MB",
    }
    print("| fuzzing .pth files | |\n|---|---|")
    print("\n".join(f"| {name} | {value} |" for name, value in rows.items()))
    if effects or slowest > SLOW or grown > MAX_GROWTH:
        sys.exit("\n".join(["a bar is missed", *effects[:10]]))


if __name__ == "__main__":
    main()
