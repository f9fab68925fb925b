"""The mistakes that the mutation checks of `benchmarks/` try are mistakes of the sources as they are."""

from pathlib import Path

import mutation_check
import parity_mutation_check

import refvessel


def test_every_mutant_applies_to_the_sources():
    sources = Path(refvessel.__file__).parent
    for one in (*mutation_check.MUTANTS, *parity_mutation_check.MUTANTS):
        assert one.applied(sources) != (sources / f"{one.module}.py").read_text("utf-8"), one.mistake
