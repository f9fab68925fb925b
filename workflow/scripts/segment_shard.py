"""Rules segment_shard and segment_questions: every expression of one shard, in one question or in several."""

from pathlib import Path

from refvessel import artifacts
from refvessel.inference.run import segment_questions
from refvessel.predictions.chosen_question import read_chosen_question
from refvessel.settings.inference_section import Inference
from refvessel.workflow import logged

# Of the whole configuration: what changes no answer is not among the rule's parameters, which would rerun it.
settings = Inference.model_validate(snakemake.config["inference"] | {"threads": snakemake.threads})
shards = list(map(Path, snakemake.output.shards))
chosen = snakemake.input.get("question")
questions = [read_chosen_question(Path(chosen))] if chosen else snakemake.params.questions
results = shards[0].parents[len(Path(artifacts.OF_SHARDS).parts)]
with logged(snakemake.log[0]):
    segment_questions(
        model=Path(snakemake.input.model),
        dataset=Path(snakemake.input.dataset),
        split=shards[0].parent.parent.name,
        outputs=list(zip(questions, shards, strict=True)),
        shard=snakemake.wildcards.part.replace("-of-", "/"),
        # Snakemake removes the outputs of a failed job; what any job finished is kept here, by what it depends on:
        # a model or a data set under another name is not segmented again.
        answers=results / artifacts.ANSWERS,
        settings=settings,
    )
