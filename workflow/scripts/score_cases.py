"""Rule score_cases: predictions against the truth."""

from pathlib import Path

from refvessel.evaluation.split_scoring import score_split
from refvessel.settings.scores_section import Scores
from refvessel.settings.words_section import Words
from refvessel.workflow import logged

words = snakemake.params.words
with logged(snakemake.log[0]):
    score_split(
        predictions=Path(snakemake.input.predictions),
        dataset=Path(snakemake.input.dataset),
        split=snakemake.wildcards.split,
        output=Path(snakemake.output.cases).parent,
        logits=[Path(path) for path in snakemake.input.get("logits", [])],
        words=Words.model_validate(words) if words else None,
        words_answers=[Path(path) for path in snakemake.input.get("words", [])],
        settings=Scores.model_validate(snakemake.params.settings),
        max_failures=snakemake.config["inference"]["max_failures"],  # of no effect on a score: no parameter
        threads=snakemake.threads,
    )
