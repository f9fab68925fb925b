"""Patterns that users write are matched in bounded time."""

import re
import time

import pytest

from refvessel import patterns
from refvessel.errors import UserError
from refvessel.patterns import BoundedPattern


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"(?P<patient>p\d+)_(?P<frame>\d+)$", "p07_0012"),
        (r"(?:^|/)(?P<patient>[^/]+?)(?:[/_-](?i:frame|f|img)?[_-]?(?P<frame>\d+))?$", "a/p1_IMG_2"),
        (r"\((?P<patient>\d+)\)", "Zhang(17)_1-3"),
        (r"(?P<patient>\w+)", "\u5f20\u4f1f_1"),
        (r"(?P<patient>x)?", ""),
        (r"(?P<patient>x{2,30})", "xxxx"),
    ],
)
def test_it_finds_what_python_finds(pattern, text):
    found, expected = BoundedPattern(pattern, "patient_pattern").search(text), re.search(pattern, text)
    assert (found.span(), found.groupdict()) == (expected.span(), expected.groupdict())


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?P<patient>(a+)+)$",
        r"(?P<patient>(a|aa)+)$",
        r"(?P<patient>(a|a)*)$",
        r"(?P<patient>((a{1,1000}){1,1000}){1,1000})b",
    ],
)
def test_backtracking_is_given_up_and_not_tried_again(pattern, monkeypatch):
    monkeypatch.setattr(patterns, "_SECONDS", 0.2)
    bounded = BoundedPattern(pattern, f"patient_pattern {pattern!r}")
    start = time.process_time()  # however busy the machine is
    for number in range(50):
        with pytest.raises(UserError, match=r"^patient_pattern .* takes too long to match"):
            bounded.search(f"{number}" + "a" * 3000 + "!")
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", "not a regular expression"),
        ("x{99999999999}", "repeats something 9999999999 times"),
        ("x{1,4294967296}", "repeats something"),
        ("x" * 1001, "has 1001 characters"),
        ("(" * 490 + "a" + ")" * 490, "not a regular expression"),
        (r"(?P<patient>\p{L}+)", "not a regular expression"),  # regex alone would take it
    ],
)
def test_an_excessive_pattern_is_refused(pattern, reason):
    with pytest.raises(UserError, match=f"^patient_pattern .*{reason}"):
        BoundedPattern(pattern, f"patient_pattern {pattern!r}")
