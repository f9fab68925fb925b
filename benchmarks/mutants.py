"""Mutants: one mistake each in a copy of the sources, which the tests named with it must notice.

A check runs the tests against the unchanged copy first, where they must pass. A mutant that they let pass
survives. Each copy is tested by a fork of this process, which has loaded the libraries once and none of RefVessel.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Mutant:
    """One mistake.

    mistake: what is changed, in words.
    module: where, below `src/refvessel`, without `.py`.
    tests: what pytest is given to run, its options included.
    changes: each old text, which is there once, and its new one.
    """

    mistake: str
    module: str
    tests: tuple[str, ...]
    changes: tuple[tuple[str, str], ...]

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


def check(
    mutants: Sequence[Mutant],
    *,
    all_tests: Sequence[str],
    needed: Sequence[str],
    libraries: Sequence[str],
    cores: int,
) -> list[str | None]:
    """What pytest says of each mutant, and None of one that survives.

    Args:
        mutants: what to try.
        all_tests: what pytest is given to run all of their tests.
        needed: files and folders of the project that the tests need, beside the sources.
        libraries: modules to load before the first fork; none of RefVessel.
        cores: mutants tried at once.

    Raises RuntimeError where the tests fail without any mutant, or where none of a mutant's tests ran.
    """
    os.environ["OMP_NUM_THREADS"] = "1"  # a fork takes no threads with it
    for name in libraries:
        import_module(name)
    if said := _tried(None, all_tests, needed):
        raise RuntimeError(f"The tests fail without any mutant.\n{said}")
    with ThreadPoolExecutor(cores) as pool:
        return list(pool.map(lambda one: _tried(one, one.tests, needed), mutants))


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
    status = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", *tests])
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(
        status
    )  # at an ordinary exit, a fork of a thread would join its pool, and fail whatever the tests said
