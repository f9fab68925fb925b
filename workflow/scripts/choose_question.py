"""Rule choose_question: the question that scores best on the split val."""

from pathlib import Path

from refvessel.evaluation.choosing import choose_question
from refvessel.settings.scores_section import Scores
from refvessel.workflow import logged

with logged(snakemake.log[0]):
    choose_question(
        candidates=dict(zip(snakemake.params.names, map(Path, snakemake.input.predictions), strict=True)),
        dataset=Path(snakemake.input.dataset),
        output=Path(snakemake.output[0]),
        settings=Scores.model_validate(snakemake.params.settings),
    )
