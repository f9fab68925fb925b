"""Ending a process whose work is on the disk, without taking apart what it holds in memory.

Python frees object by object, and a GPU's driver allocation by allocation: seconds, from which nobody gains.
"""

import atexit
import os
import sys
import threading
from typing import NoReturn


def end_at_once() -> NoReturn:
    """End the process with status 0, once its threads and what waits for the end have had their turn."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
