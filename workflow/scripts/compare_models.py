"""Rule compare_models: paired statistics of the models of one split."""

from pathlib import Path

from refvessel.evaluation.comparing import compare_models
from refvessel.workflow import logged

settings = snakemake.params.settings
with logged(snakemake.log[0]):
    compare_models(
        cases=dict(zip(snakemake.params.models, map(Path, snakemake.input.cases), strict=True)),
        output=Path(snakemake.output.comparison).parent,
        scores=settings["compared"],
        draws=settings["bootstrap_draws"],
    )
