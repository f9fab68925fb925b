"""Rule score_cases: predictions against the truth."""

from pathlib import Path

from refvessel.evaluation.split_scoring import score_split
from refvessel.settings.scores_section import Scores
from refvessel.workflow import logged

with logged(snakemake.log[0]):
    score_split(
        predictions=Path(snakemake.input.predictions),
        dataset=Path(snakemake.input.dataset),
        split=snakemake.wildcards.split,
        output=Path(snakemake.output.cases).parent,
        logits=[Path(path) for path in snakemake.input.get("logits", [])],
        settings=Scores.model_validate(snakemake.params.settings),
        max_failures=snakemake.config["inference"]["max_failures"],  # of no effect on a score: no parameter
        threads=snakemake.threads,
    )
