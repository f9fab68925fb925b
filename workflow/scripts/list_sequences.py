"""Checkpoint list_sequences: what the runs of a split ask for, apart from the truths."""

from pathlib import Path

from refvessel.predictions.asked_sequences import list_sequences
from refvessel.workflow import logged

with logged(snakemake.log[0]):
    list_sequences(
        dataset=Path(snakemake.input.dataset),
        split=snakemake.wildcards.split,
        output=Path(snakemake.output[0]),
    )
