"""Mutants: one mistake each in a copy of the sources, which the tests named with it must notice.

A check runs the tests against the unchanged copy first, where they must pass. A mutant that they let pass
survives; one with which the code breaks down, before a test sees a wrong value, proves nothing of them either.
Each copy is tested by a fork of this process, which has loaded the libraries once and none of RefVessel.
"""

import argparse
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Mutant:
    """One mistake.

    mistake: what is changed, in words.
    module: where, below `src/refvessel`, without `.py`.
    tests: test files, or tests of them, as pytest is given them.
    changes: each old text, which is there once, and its new one.
    keywords: which of the tests, as pytest's -k; empty for all.
    """

    mistake: str
    module: str
    tests: tuple[str, ...]
    changes: tuple[tuple[str, str], ...]
    keywords: str = ""

    def applied(self, sources: Path) -> str:
        """The module's text with the mistake; raises RuntimeError where an old text is not there once."""
        text = (sources / f"{self.module}.py").read_text("utf-8")
        for old, new in self.changes:
            if text.count(old) != 1:
                raise RuntimeError(
                    f"{self.mistake}: {old!r} is {text.count(old)} times in {self.module}.py; "
                    "state the mistake for the module as it is now."
                )
            text = text.replace(old, new)
        return text


@dataclass(frozen=True)
class Verdict:
    """What the tests say of one mutant.

    noticed: whether what a test expects is not so; else they pass, or the code breaks down.
    words: what failed, in one line; empty where they pass.
    seconds: how long they ran.
    """

    noticed: bool
    words: str
    seconds: float

    def __str__(self) -> str:
        if self.noticed:
            return self.words
        return f"**breaks down**: {self.words}" if self.words else "**nothing**"


def main(
    description: str,
    mutants: Sequence[Mutant],
    *,
    needed: Sequence[str],
    libraries: Sequence[str],
) -> int:
    """Run a check from the command line; print a Markdown table, row by row as they become known.

    Args:
        description: the script's docstring.
        mutants: what to try.
        needed: files and folders of the project that the tests need, beside the sources.
        libraries: modules to load before the first fork; none of RefVessel.

    Returns:
        The exit status: 1 if a mutant is not noticed.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2, help="mutants tried at once")
    parser.add_argument("--only", default="", help="mutants whose mistake has these words")
    options = parser.parse_args()
    chosen = [one for one in mutants if options.only in one.mistake]
    if not chosen:
        parser.error(f"No mistake has the words '{options.only}'.")
    began, noticed = time.monotonic(), 0
    verdicts = check(chosen, needed=needed, libraries=libraries, threads=options.threads)
    print("| mistake | module | what the tests say | s |\n|---|---|---|---:|", flush=True)
    for one, verdict in zip(chosen, verdicts, strict=True):
        noticed += verdict.noticed
        said = str(verdict).replace("|", "\\|")
        print(f"| {one.mistake} | {one.module} | {said} | {verdict.seconds:.0f} |", flush=True)
    print(f"\n{noticed} of {len(chosen)} mistakes noticed ({time.monotonic() - began:.0f} s)")
    return int(noticed < len(chosen))


def check(
    mutants: Sequence[Mutant],
    *,
    needed: Sequence[str],
    libraries: Sequence[str],
    threads: int,
) -> Iterator[Verdict]:
    """What the tests say of each mutant, in order, each as soon as it and those before are known.

    The arguments are those of `main`; `threads` mutants are tried at once. Raises RuntimeError where the tests
    fail without any mutant, or where none of a mutant's tests ran.
    """
    os.environ["OMP_NUM_THREADS"] = "1"  # a fork takes no threads with it
    for name in libraries:
        import_module(name)
    if said := _tried(None, sorted({test for one in mutants for test in one.tests}), needed):
        raise RuntimeError(f"The tests fail without any mutant.\n{said}")
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(lambda one: _judged(one, needed), mutants)


def verdict_of(said: str | None, seconds: float) -> Verdict:
    """The verdict that pytest's output is, which is None where all tests pass."""
    if said is None:
        return Verdict(False, "", seconds)
    first, *others = re.findall(r"^E +(.*)", said, re.MULTILINE) or [said.strip().splitlines()[-1]]
    expected = re.match(r"(AssertionError:?|assert|Failed: DID NOT RAISE)\b", first)
    words = first.removeprefix("AssertionError").removeprefix(":").strip()
    return Verdict(bool(expected), words or " ".join(others[:1]), seconds)


def _judged(one: Mutant, needed: Sequence[str]) -> Verdict:
    began = time.monotonic()
    said = _tried(one, ["-k", one.keywords, *one.tests], needed)
    return verdict_of(said, time.monotonic() - began)


def _tried(one: Mutant | None, tests: Sequence[str], needed: Sequence[str]) -> str | None:
    """What pytest says of a copy with a mutant, or of an unchanged one; None where all tests pass."""
    with tempfile.TemporaryDirectory() as folder:
        copy = _fresh_copy(Path(folder), needed)
        if one:
            sources = copy / "src/refvessel"
            (sources / f"{one.module}.py").write_text(one.applied(sources), "utf-8")
        log = copy / "pytest.log"
        process = get_context("fork").Process(target=_run_pytest, args=(copy, tests, log))
        process.start()
        process.join()
        said = log.read_text("utf-8")
    if process.exitcode not in (0, 1):  # neither all passed nor some failed: no test ran
        raise RuntimeError(said)
    return said if process.exitcode else None


def _fresh_copy(folder: Path, needed: Sequence[str]) -> Path:
    """The sources and what else the tests need, elsewhere."""
    for name in ("src", "tests/conftest.py", "pyproject.toml", *needed):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copy
        if (ROOT / name).is_dir():
            copy = partial(shutil.copytree, ignore=shutil.ignore_patterns("__pycache__"))
        copy(ROOT / name, folder / name)
    return folder


def _run_pytest(copy: Path, tests: Sequence[str], log: Path) -> None:
    """Run tests against the sources of a copy; ends this process with pytest's status."""
    with log.open("w", encoding="utf-8") as output:
        for descriptor in (1, 2):
            os.dup2(output.fileno(), descriptor)
    os.chdir(copy)
    sys.path.insert(0, str(copy / "src"))
    # The first failure is enough: the profile of conftest.py adds to this one, and seeks no simpler example.
    found = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
    hypothesis.settings.register_profile("first failure", phases=found)
    hypothesis.settings.load_profile("first failure")
    status = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", *tests])
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(
        status
    )  # at an ordinary exit, a fork of a thread would join its pool, and fail whatever the tests said
