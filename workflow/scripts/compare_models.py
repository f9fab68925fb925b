"""Rule compare_models: paired statistics of the models of one split."""

from pathlib import Path

from refvessel.evaluation.comparing import compare_models
from refvessel.settings.scores_section import Scores
from refvessel.workflow import logged

with logged(snakemake.log[0]):
    compare_models(
        cases=dict(zip(snakemake.params.models, map(Path, snakemake.input.cases), strict=True)),
        output=Path(snakemake.output.comparison).parent,
        groups=snakemake.params.groups,
        settings=Scores.model_validate(snakemake.params.settings),
    )
