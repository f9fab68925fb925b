"""Items come in order from a thread that runs ahead, and so do errors and the end."""

import threading
import time
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvessel.inference.prefetch import prefetch


@given(items=st.lists(st.integers(), max_size=20), count=st.integers(1, 5))
def test_items_keep_their_order(items, count):
    assert list(prefetch(iter(items), count)) == items


def test_no_more_than_the_items_wanted_are_taken_in_advance():
    taken = []

    def items():
        for item in range(100):
            taken.append(item)
            yield item

    with closing(prefetch(items(), 2)) as given_out:
        assert next(given_out) == 0
        time.sleep(0.5)
        assert len(taken) <= 4  # one given out, two ready, one in the hand


def test_an_error_comes_behind_the_items_before_it():
    def items():
        yield 1
        raise ArithmeticError("of the second")

    given_out = prefetch(items(), 3)
    assert next(given_out) == 1
    with pytest.raises(ArithmeticError, match="of the second"):
        next(given_out)


def test_closing_ends_the_thread():
    def items():
        while True:
            yield 1

    before = threading.active_count()
    given_out = prefetch(items(), 1)
    next(given_out)
    given_out.close()
    assert threading.active_count() == before
