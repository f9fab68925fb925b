"""How many cores there are."""

import os


def usable_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))
