"""A run's scripts in forks of this process, which has loaded what they import: seconds less for each.

Snakemake starts a job as `sys.executable SCRIPT`. Where that is the launcher, it hands script, folder, environment
and streams to a server, forked before the run began, and ends as the server's fork with the script in it does.
"""

import atexit
import json
import multiprocessing
import os
import runpy
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from multiprocessing.connection import wait
from pathlib import Path
from tempfile import TemporaryDirectory

from frozen_objects import freeze_what_is_there

import refvessel
from refvessel.code import import_closure

_PACKAGE = Path(refvessel.__file__).parent
_SCRIPTS = Path(__file__).parents[2] / "workflow/scripts"
_FORK = multiprocessing.get_context("fork")
_LAUNCHER = """#!{python} -IS
import json, os, socket, sys
if not (len(sys.argv) == 2 and sys.argv[1].endswith(".py")):
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    socket.send_fds(server, [b"."], [0, 1, 2])
    server.sendall(json.dumps([sys.argv[1], os.getcwd(), dict(os.environ)]).encode())
    server.shutdown(socket.SHUT_WR)
    sys.exit(int(server.recv(8)))
"""


@cache
def load_what_scripts_import() -> None:
    """Once, so that every fork has it."""
    for path in import_closure(*_SCRIPTS.glob("*.py")):
        if path.is_relative_to(_PACKAGE) and path.suffix == ".py":
            parts = path.relative_to(_PACKAGE.parent).with_suffix("").parts
            with suppress(ModuleNotFoundError):  # of GPUs' libraries, which are imported where there is one
                import_module(".".join(parts).removesuffix(".__init__"))
    mappings = import_module("transformers.conversion_mapping")
    mappings.get_checkpoint_conversion_mapping("")  # made for all models when the first is loaded
    freeze_what_is_there()


@contextmanager
def scripts_in_forks() -> Iterator[None]:
    """Within the block, what this process starts as `sys.executable SCRIPT` runs in a fork of it as it is now."""
    executable = sys.executable
    with TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        address, launcher = f"{folder}/jobs", Path(folder, "python")
        listener.bind(address)
        listener.listen()
        launcher.write_text(_LAUNCHER.format(python=executable, address=address))
        launcher.chmod(0o700)
        theirs, ours = _FORK.Pipe(duplex=False)
        server = _FORK.Process(target=_serve, args=(listener, theirs, ours))
        server.start()
        sys.executable = str(launcher)
        try:
            yield
        finally:
            sys.executable = executable
            ours.close()
            server.join()


def _serve(listener: socket.socket, end, others_end) -> None:
    """Run what launchers ask for, until nobody holds the other end of a pipe any more."""
    others_end.close()
    under_way = {}
    while True:
        for ready in wait([listener, end, *under_way]):
            if ready is end:
                return
            if ready is listener:
                launcher, _ = listener.accept()
                job = _FORK.Process(target=_run, args=(launcher,))
                job.start()
                under_way[job.sentinel] = job, launcher
            else:
                job, launcher = under_way.pop(ready)
                job.join()
                with launcher:
                    launcher.sendall(str(job.exitcode).encode())


def _run(launcher: socket.socket) -> None:
    """The script that a launcher names, in its folder, environment and streams."""
    _, streams, _, _ = socket.recv_fds(launcher, 1, 3)
    with launcher.makefile("rb") as told:
        script, folder, environment = json.load(told)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    atexit._clear()  # what this process does at its end
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        atexit._run_exitfuncs()  # which multiprocessing leaves out before Python 3.13
