"""Rule compare_sequences: paired statistics of the entrants of one split, by sequence."""

from pathlib import Path

from refvessel.evaluation.sequence_comparing import compare_sequences
from refvessel.settings.scores_section import Scores
from refvessel.workflow import logged

with logged(snakemake.log[0]):
    compare_sequences(
        cases=dict(zip(snakemake.params.models, map(Path, snakemake.input.cases), strict=True)),
        output=Path(snakemake.output.comparison).parent,
        settings=Scores.model_validate(snakemake.params.settings),
    )
