"""What processes share, and which."""

import os

import pytest

from refvessel.parallel import call_each, processes_kept


def process_of(number: int) -> tuple[int, int]:
    return number, os.getpid()


def test_results_come_in_the_order_of_the_calls_from_other_processes():
    numbers, processes = zip(*call_each(process_of, range(9), threads=2, calls_per_task=2), strict=True)
    assert numbers == tuple(range(9))
    assert os.getpid() not in processes
    assert call_each(process_of, range(2), threads=1) == [(0, os.getpid()), (1, os.getpid())]


def test_the_same_processes_share_all_that_is_shared_within_a_block():
    with processes_kept(2):
        first = {process for _, process in call_each(process_of, range(40), threads=2)}
        again = {process for _, process in call_each(process_of, range(40), threads=2)}
        others = {process for _, process in call_each(process_of, range(40), threads=3)}
    behind = {process for _, process in call_each(process_of, range(40), threads=2)}
    assert len(first | again) <= 2
    assert not (first | again) & (others | behind)


def test_what_a_call_raises_is_raised_and_the_processes_go_on():
    with processes_kept(2):
        with pytest.raises(ZeroDivisionError):
            call_each(divmod, [1, 2], [1, 0], threads=2)
        assert call_each(divmod, [5], [2], threads=2) == [(2, 1)]
