"""Rule score_cases: predictions against the truth."""

from pathlib import Path

from refvessel.evaluation.split_scoring import score_split
from refvessel.workflow import logged

settings = snakemake.params.settings
with logged(snakemake.log[0]):
    score_split(
        predictions=Path(snakemake.input.predictions),
        dataset=Path(snakemake.input.dataset),
        split=snakemake.wildcards.split,
        output=Path(snakemake.output.cases).parent,
        logits=[Path(path) for path in snakemake.input.get("logits", [])],
        policy=settings["empty_cases"],
        nsd_tolerance=settings["nsd_tolerance"],
        draws=settings["bootstrap_draws"],
        max_failures=snakemake.config["inference"]["max_failures"],  # of no effect on a score: no parameter
        cores=snakemake.threads,
    )
