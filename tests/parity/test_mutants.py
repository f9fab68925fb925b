"""The mistakes that the mutation checks of `benchmarks/` try are mistakes of the sources as they are."""

from pathlib import Path

import mutation_check
import parity_mutation_check
import pytest
from mutants import ROOT, verdict_of

import refvessel

MUTANTS = (*mutation_check.MUTANTS, *parity_mutation_check.MUTANTS)


def test_every_mutant_applies_to_the_sources():
    sources = Path(refvessel.__file__).parent
    for one in MUTANTS:
        assert one.applied(sources) != (sources / f"{one.module}.py").read_text("utf-8"), one.mistake


@pytest.mark.parametrize("check", [mutation_check, parity_mutation_check], ids=lambda check: check.__name__)
def test_the_tests_of_every_mutant_are_there_and_copied_with_the_sources(check):
    for one in check.MUTANTS:
        for file in [ROOT / test.partition("::")[0] for test in one.tests]:
            assert file.is_file()
            assert any(file.is_relative_to(ROOT / needed) for needed in check.NEEDED)


@pytest.mark.parametrize(
    ("said", "noticed", "words"),
    [
        (None, False, "**nothing**"),
        ("E       assert 1 == 2\nE        +  where 1 = f()", True, "assert 1 == 2"),
        ("E       AssertionError: masks differ", True, "masks differ"),
        ("E   AssertionError: \nE   Not equal to tolerance", True, "Not equal to tolerance"),
        ("E       Failed: DID NOT RAISE <class 'E'>", True, "Failed: DID NOT RAISE <class 'E'>"),
        ("E   NameError: masks", False, "**breaks down**: NameError: masks"),
        ("x\nERROR: not found\n", False, "**breaks down**: ERROR: not found"),
    ],
)
def test_a_mistake_is_noticed_where_an_expectation_fails_and_not_where_the_code_breaks_down(
    said, noticed, words
):
    verdict = verdict_of(said, seconds=1.0)
    assert (verdict.noticed, str(verdict)) == (noticed, words)
