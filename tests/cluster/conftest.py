"""What tests of schedulers and stores share; `make test-slurm` installs the plugins that they take."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_demo import SNAKEMAKE, write_small_demo

TOLD = "told"  # the property of a test that is printed at the end


@pytest.fixture(scope="session")
def plain_run(tmp_path_factory) -> Iterator[tuple[subprocess.Popen, Path]]:
    """A run of the small demo without scheduler and store, under way, and its folder."""
    folder = write_small_demo(tmp_path_factory.mktemp("plain") / "run")
    with (folder / "console.txt").open("w") as log:
        run = subprocess.Popen([*SNAKEMAKE, "--cores", "1"], cwd=folder, stdout=log, stderr=log)
    yield run, folder
    run.kill()
    run.wait()


@pytest.fixture
def tell(record_property):
    """A function: lines that are printed when all tests have ended, whichever process ran them."""
    return lambda *lines: record_property(TOLD, "\n".join(lines))


def pytest_terminal_summary(terminalreporter):
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, lines in report.user_properties:
            if name == TOLD:
                terminalreporter.section(report.nodeid.partition("::")[2])
                terminalreporter.write_line(lines)
