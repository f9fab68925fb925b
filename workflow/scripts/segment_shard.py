"""Rules segment_shard and segment_questions: every expression of one shard, in all questions, by all models."""

from pathlib import Path

from refvessel import artifacts
from refvessel.inference.sheets import wanted_of_models
from refvessel.jobs.ending import end_at_once
from refvessel.model.library import imports_kept, load_by_parts
from refvessel.predictions.chosen_question import read_chosen_question
from refvessel.predictions.identity import identify
from refvessel.settings.inference_section import Inference
from refvessel.settings.words_section import Words
from refvessel.workflow import logged

# Of the whole configuration: what changes no answer is not among the rule's parameters, which would rerun it.
settings = Inference.model_validate(snakemake.config["inference"] | {"threads": snakemake.threads})
given, output, params = snakemake.input, snakemake.output, snakemake.params
shards, words_shards = list(map(Path, output.shards)), list(map(Path, output.get("words", [])))
chosen = given.get("question")
questions = [read_chosen_question(Path(chosen))] if chosen else params.questions
folders = [Path(given.model)] if isinstance(given.model, str) else list(map(Path, given.model))
models = [folders[number] for number in params.asked_by]  # of each question
words = [Words.model_validate(each) if each else None for each in params.words]
load_by_parts()
with logged(snakemake.log[0]):
    for folder in folders:
        identify(folder)  # hashes weights while libraries are imported
    with imports_kept():
        from refvessel.inference.run import segment_series  # loads the library

    segment_series(
        models=wanted_of_models(models, questions, shards, words, words_shards),
        dataset=Path(given.dataset),
        split=shards[0].parent.parent.name,
        shard=snakemake.wildcards.part.replace("-of-", "/"),
        # Kept by what they depend on: Snakemake removes the outputs of a failed job, and names may change.
        answers=shards[0].parents[len(Path(artifacts.OF_SHARDS).parts)] / artifacts.ANSWERS,
        settings=settings,
    )
end_at_once()
