"""Rules segment_shard and segment_questions: every expression of one shard, in all questions, by all models."""

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
folders = [Path(given.model)] if isinstance(given.model, str) else list(map(Path, given.model))
models = [folders[number] for number in snakemake.params.asked_by]  # of each question
wanted: dict[Path, list[Wanted]] = {folder: [] for folder in folders}
for model, question, shard in zip(models, questions, shards, strict=True):
    wanted[model].append(Wanted(question, shard))
besides = [each for each in zip(models, questions, snakemake.params.words, strict=False) if each[2]]
for (model, question, words), shard in zip(besides, output.get("words", []), strict=True):
    wanted[model].append(Wanted(question, Path(shard), Words.model_validate(words)))
load_by_parts()
with logged(snakemake.log[0]):
    for folder in folders:
        identify(folder)  # hashes weights while libraries are imported
    with imports_kept():
        from refvessel.inference.run import segment_series  # loads the library

    segment_series(
        models=wanted,
        dataset=Path(given.dataset),
        split=shards[0].parent.parent.name,
        shard=snakemake.wildcards.part.replace("-of-", "/"),
        # Snakemake removes the outputs of a failed job; what any job finished is kept here, by what it depends on:
        # a model or a data set under another name is not segmented again.
        answers=results / artifacts.ANSWERS,
        settings=settings,
    )
end_at_once()
