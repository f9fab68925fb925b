"""Rules segment_shard and segment_questions: every expression of one shard, in one question or in several."""

from pathlib import Path

from refvessel import artifacts
from refvessel.inference.sheets import Wanted
from refvessel.jobs.ending import end_at_once
from refvessel.model.library import imports_kept, load_by_parts
from refvessel.predictions.chosen_question import read_chosen_question
from refvessel.predictions.identity import identify
from refvessel.settings.inference_section import Inference
from refvessel.settings.words_section import Words
from refvessel.workflow import logged

# Of the whole configuration: what changes no answer is not among the rule's parameters, which would rerun it.
settings = Inference.model_validate(snakemake.config["inference"] | {"threads": snakemake.threads})
given, output = snakemake.input, snakemake.output
shards = list(map(Path, output.shards))
results = shards[0].parents[len(Path(artifacts.OF_SHARDS).parts)]
chosen = given.get("question")
questions = [read_chosen_question(Path(chosen))] if chosen else snakemake.params.questions
wanted = [Wanted(question, shard) for question, shard in zip(questions, shards, strict=True)]
besides = [each for each in zip(questions, snakemake.params.words, strict=False) if each[1]]
for (question, words), shard in zip(besides, output.get("words", []), strict=True):
    wanted.append(Wanted(question, Path(shard), Words.model_validate(words)))
load_by_parts()
with logged(snakemake.log[0]):
    identify(Path(given.model))  # hashes weights while libraries are imported
    with imports_kept():
        from refvessel.inference.run import segment_questions  # loads the library

    segment_questions(
        model=Path(given.model),
        dataset=Path(given.dataset),
        split=shards[0].parent.parent.name,
        wanted=wanted,
        shard=snakemake.wildcards.part.replace("-of-", "/"),
        # Snakemake removes the outputs of a failed job; what any job finished is kept here, by what it depends on:
        # a model or a data set under another name is not segmented again.
        answers=results / artifacts.ANSWERS,
        settings=settings,
    )
end_at_once()
