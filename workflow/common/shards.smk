# The shards into which a split is divided, and what a job is asked that makes one.
import os
from functools import cache
from pathlib import Path
from types import SimpleNamespace

from snakemake.io import IOFile

from refvessel import artifacts
from refvessel.predictions.division import number_of_shards, shards_that_pay

# Entrant, data set and split -> all that one job asks, where it asks several questions.
ASKED_TOGETHER = {
    tuple(entry.places.values()): [each.places for each in together]
    for together in settings.asked_together()
    for entry in together
}


def listed_expressions(wildcards):
    """What a split asks for; known once the checkpoint has run."""
    asked = {"dataset": wildcards.dataset, "split": wildcards.split}
    return checkpoints.list_expressions.get(**asked).output[0]


def listed_sequences(wildcards):
    """The same of a split's runs."""
    asked = {"dataset": wildcards.dataset, "split": wildcards.split}
    return checkpoints.list_sequences.get(**asked).output[0]


def shard_files(suffix, **places):
    """The files of a split's shards with this suffix; those of entrants that are asked together are as many."""
    folder = artifacts.OF_SHARDS.format(**places)
    together = ASKED_TOGETHER.get(tuple(places.values()), [places])
    count = number_of_shards(
        RESULTS_HERE / artifacts.OF_SHARDS.format(**together[0]),
        wanted_shards(**places),
    )
    # Whatever rule asks for them, in a workflow of which this is a module, too.
    return [
        PATHVARS.apply(at(folder, f"{number}-of-{count}{suffix}"))
        for number in range(1, count + 1)
    ]


def each_shard(suffix, split=None):
    """The same as an input function, of the split of a rule's wildcards or of this one."""
    return lambda wildcards: (
        []
        if wildcards.model in entrants_by("imported")
        else shard_files(
            suffix,
            model=wildcards.model,
            dataset=wildcards.dataset,
            split=split or wildcards.split,
        )
    )


@cache  # so that all rules of a run say the same, though what is asked is listed anew
def wanted_shards(model, dataset, split):
    """Into how many shards a split is divided: as many as is stated, or as pay; known once the checkpoint has run."""
    if settings.inference.shards:
        return settings.inference.shards
    asked = SimpleNamespace(dataset=dataset, split=split)
    of_runs = model in entrants_by("video")
    name = artifacts.SEQUENCES if of_runs else artifacts.EXPRESSIONS
    path = str(RESULTS / name.format(dataset=dataset, split=split))
    listed = IOFile(STORED(path), rule=checkpoints.list_expressions.rule)
    if not is_there(listed):
        if workflow.dryrun or not workflow.is_main_process:
            return WORKERS
        (listed_sequences if of_runs else listed_expressions)(asked)
    with listed.open():  # a default storage is asked for it, and then this again
        return shards_that_pay(Path(listed), WORKERS, queued=QUEUED)


def shards_of_a_job(suffix, together, folder=artifacts.OF_SHARDS):
    """The files with this suffix that one job writes, of each of the entrants that it asks."""
    return [at(folder, f"{{part}}{suffix}", **places) for places in together]


def words_of_a_job(together):
    """Where a job writes what it is asked besides, by the name of the output; none where it is asked nothing."""
    places = [entry.places for entry in together or () if entry.words]
    files = shards_of_a_job(artifacts.SHARD_SUFFIX, places, artifacts.OF_WORDS)
    return {"words": files} if files else {}


def words_of_a_split(wildcards):
    """The answers to what an entrant was asked besides, by the name of the input; mostly none."""
    if not words_settings(wildcards):
        return {}
    shards = each_shard(artifacts.SHARD_SUFFIX)(wildcards)
    names = [os.path.basename(shard) for shard in shards]
    places = dict(wildcards.items())
    return {"words": [at(artifacts.OF_WORDS, name, **places) for name in names]}


def words_settings(wildcards):
    """What an entrant is asked besides; None where it is asked nothing."""
    asked = [
        entry.words
        for entry in settings.entries()
        if entry.places == dict(wildcards.items())
    ]
    return asked[0].canonical() if asked and asked[0] else None


def answer_settings():
    """What can change an answer, besides its question."""
    results = settings.inference.result_settings()
    return {name: value for name, value in results.items() if name != "question"}


def where_logits_are_stored(**files):
    """These inputs or outputs by their names; none where no logits are stored."""
    return files if settings.inference.save_logits else {}
