"""Rule score_sequences: the runs of a split, frame by frame and from frame to frame."""

from pathlib import Path

from refvessel.evaluation.sequence_scoring import score_sequences
from refvessel.settings.scores_section import Scores
from refvessel.workflow import logged

with logged(snakemake.log[0]):
    score_sequences(
        cases=Path(snakemake.input.cases),
        dataset=Path(snakemake.input.dataset),
        split=snakemake.wildcards.split,
        output=Path(snakemake.output.video).parent,
        settings=Scores.model_validate(snakemake.params.settings),
        threads=snakemake.threads,
    )
