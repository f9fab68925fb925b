"""Snakemake and its jobs in forks of this process, which has loaded what they import: seconds less for each."""

import atexit
import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import snakemake.cli
from job_server import load_what_scripts_import, scripts_in_forks

import refvessel.preflight  # noqa: F401


def run_snakemake(arguments: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """What `python -m snakemake` with these arguments does in the folder `cwd`, and what it tells."""
    load_what_scripts_import()
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        told = (stdout, stderr)
        child = multiprocessing.get_context("fork").Process(
            target=_main, args=(arguments, cwd, [each.fileno() for each in told])
        )
        child.start()
        child.join()
        for each in told:
            each.seek(0)
        return subprocess.CompletedProcess(arguments, child.exitcode, stdout.read(), stderr.read())


def _main(arguments: list[str], cwd: Path, files: list[int]) -> None:
    for stream, file in zip((1, 2), files, strict=True):
        os.dup2(file, stream)
    sys.stdout, sys.stderr = (os.fdopen(stream, "w", buffering=1) for stream in (1, 2))
    sys.argv = ["snakemake", *arguments]
    os.chdir(cwd)
    atexit._clear()  # what this process does at its end
    try:
        with scripts_in_forks():
            snakemake.cli.main()
    finally:
        atexit._run_exitfuncs()  # which multiprocessing leaves out before Python 3.13
