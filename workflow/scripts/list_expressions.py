"""Checkpoint list_expressions: what a split asks for, apart from the truths."""

from pathlib import Path

from refvessel.predictions.asked import list_expressions
from refvessel.workflow import logged

with logged(snakemake.log[0]):
    list_expressions(
        dataset=Path(snakemake.input.dataset),
        split=snakemake.wildcards.split,
        output=Path(snakemake.output[0]),
    )
