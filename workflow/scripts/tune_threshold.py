"""Rule tune_threshold: the threshold that scores best on the split val."""

from pathlib import Path

from refvessel.evaluation.tuning import tune_threshold
from refvessel.settings.scores_section import Scores
from refvessel.workflow import logged

with logged(snakemake.log[0]):
    tune_threshold(
        predictions=Path(snakemake.input.predictions),
        logits=[Path(path) for path in snakemake.input.logits],
        dataset=Path(snakemake.input.dataset),
        score=snakemake.params.score,
        output=Path(snakemake.output[0]),
        settings=Scores.model_validate(snakemake.params.settings),
    )
