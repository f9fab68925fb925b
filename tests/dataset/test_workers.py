"""A map whose items may crash or hang."""

import ctypes
import multiprocessing
import os
import time
from functools import partial

import pytest

from refvessel.dataset.conversion.workers import Ended, map_in_processes
from refvessel.errors import UserError


def answer(item):
    match item:
        case "abort":
            os.abort()
        case "exit":
            os._exit(3)
        case "segfault":
            ctypes.string_at(0)
        case "hang":
            time.sleep(600)
        case "slow":
            time.sleep(0.2)
        case "mistake":
            raise UserError("a sentence")
    return item * 2


apply = partial(map_in_processes, answer)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_order(threads):
    items = ["slow", *range(200), "slow"]
    assert list(apply(items, threads=threads, seconds=60)) == [item * 2 for item in items]


def test_nothing_gives_nothing():
    assert list(apply([], threads=2, seconds=1)) == []


@pytest.mark.parametrize("threads", [1, 3])
def test_what_crashes_or_hangs_costs_itself_alone(threads):
    items = [1, "abort", 2, "exit", "hang", 3, "segfault", 4]
    results = list(apply(items, threads=threads, seconds=1))
    assert results == [
        2,
        Ended("ended by SIGABRT"),
        4,
        Ended("ended by the exit code 3"),
        Ended("took more than 1 seconds"),
        6,
        Ended("ended by SIGSEGV"),
        8,
    ]


def test_an_exception_is_raised_here():
    results = apply([1, "mistake", 2], threads=2, seconds=60)
    assert next(results) == 2
    with pytest.raises(UserError, match="a sentence"):
        next(results)


def test_large_results_pass():
    (result,) = apply(["x" * 10_000_000], threads=1, seconds=60)
    assert len(result) == 20_000_000


def test_leaving_early_ends_the_processes():
    results = apply(["slow", "hang", "hang"], threads=3, seconds=60)
    next(results)
    results.close()
    assert not multiprocessing.active_children()
