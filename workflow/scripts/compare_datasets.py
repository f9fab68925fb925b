"""Rule compare_datasets: by how much models drop on other data sets than their own."""

from pathlib import Path

from refvessel.evaluation.external_comparing import compare_datasets
from refvessel.metrics.external_validation import Place
from refvessel.settings.scores_section import Scores
from refvessel.workflow import logged

with logged(snakemake.log[0]):
    compare_datasets(
        cases={
            Place(**names): Path(cases)
            for names, cases in zip(snakemake.params.places, snakemake.input.cases, strict=True)
        },
        homes=snakemake.params.homes,
        output=Path(snakemake.output.external),
        settings=Scores.model_validate(snakemake.params.settings),
    )
