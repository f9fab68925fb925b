import os
from functools import cache
from pathlib import Path
from types import SimpleNamespace

from snakemake.io import IOFile

from refvessel import artifacts
from refvessel.code import code_hash
from refvessel.jobs.needs import memory_mb, runtime_minutes, size_mb
from refvessel.predictions.division import (
    answers_of_split,
    number_of_shards,
    shards_that_pay,
)
from refvessel.provenance import folder_state, state_of_data, state_of_files
from refvessel.settings.refinement_section import TUNING_SPLIT

# Where models are run; all else needs no GPU. They differ in the build of PyTorch.
ENVIRONMENT_OF_MODELS = (
    f"../../envs/{'cpu' if settings.inference.device == 'cpu' else 'cuda'}.yaml"
)
# As they are here: elsewhere in a workflow of which this is a module, others hold.
PATHVARS = workflow.pathvars

# Of what sees original names: beside the key and the names, outside everything that is published.
PRIVATE_LOGS = PATHVARS.apply("<private_logs>")


def at(*parts, **names):
    """A path below the results, of which some names are known."""
    return filled(os.path.join("<results>", *parts), **names)


def filled(path, **names):
    """A path of which some names are known."""
    for wildcard, name in names.items():
        path = path.replace(f"{{{wildcard}}}", name)
    return path


def knowing(function, places):
    """An input function of a rule in whose wildcards these are missing, since they are known."""
    return lambda wildcards: function(
        SimpleNamespace(**dict(wildcards.items()) | places)
    )


# Entrant, data set and split -> all that one job asks, where it asks several questions.
ASKED_TOGETHER = {
    tuple(entry.places.values()): [each.places for each in together]
    for together in settings.asked_together()
    for entry in together
}


# By name; looked at for each job, of which there may be many thousands.
ENTRANTS = settings.entrants()


@cache
def code_of(rule):
    """The hash of a rule's script and of all that it imports of the package."""
    return code_hash(Path(workflow.source_path(f"../scripts/{rule}.py")))


def needs(
    name, reading=lambda wildcards, input: [], answers=lambda wildcards, input: 0
):
    """The memory and the time that a rule's jobs ask for, more with each attempt.

    Args:
        name: of the rule, as `refvessel.jobs.needs` knows it.
        reading: wildcards and input of a job -> the files and folders by whose size its needs grow.
        answers: the same -> how many answers a model gives.
    """

    def mem_mb(wildcards, input, attempt):
        return memory_mb(name, reading(wildcards, input), attempt)

    def runtime(wildcards, input, attempt):
        count = answers(wildcards, input)
        return runtime_minutes(name, reading(wildcards, input), attempt, answers=count)

    return {"mem_mb": mem_mb, "runtime": runtime}


def needs_of_model(listed, questions=1):
    """The same of a job that asks a model, and its GPUs; `listed` is the input that says what is asked."""

    def answers(wildcards, input):
        # Before it is there, this raises what Snakemake knows, and it asks again later.
        os.stat(input[listed])
        shards = int(wildcards.part.rpartition("-")[2])
        asked = answers_of_split(Path(input[listed]))
        flips = 4 if settings.inference.flips else 1
        return asked * questions * flips // shards + 1

    # A scheduler gives a job of the CPU no GPU; here the number says how many such jobs run at once.
    on_cpu = settings.inference.device == "cpu" and not HERE
    return {
        "gpu": 0 if on_cpu else settings.inference.gpus_per_job,
        **needs("segment", lambda wildcards, input: weights(input.model), answers),
    }


def weights(converted):
    """The folder of a model, or the layers of the largest that is evaluated, where these are larger.

    An array of shards asks for what its first one does, whichever model that is of. Of several models, a GPU's host
    has one at a time in its memory.
    """
    folders = [converted] if isinstance(converted, str) else [*converted]
    if settings.inference.device != "cpu":
        folders = [max(folders, key=lambda folder: size_mb([folder]))]
    run = [
        settings.models[name]
        for name in settings.evaluated("model")
        if not settings.models[name].is_imported
    ]
    layers = [
        (
            [each.folder, each.base_mllm, each.sam2]
            if each.folder or each.base_mllm
            else [each.checkpoint]
        )
        for each in run
    ]
    there = [[path for path in paths if path and path.exists()] for paths in layers]
    return max([folders, *there], key=size_mb)


# A job whose GPU fails is tried again here, on another; a scheduler's profile says it for all jobs.
TRIES_ON_ANOTHER_GPU = min(2, found - 1) if HERE and found > 1 else None


def model_settings(wildcards):
    return settings.models[wildcards.model]


def below_results(path):
    """Whether a path lies there, where the workflow may make it, or a default storage hold it."""
    return path.resolve().is_relative_to(RESULTS.resolve())


def model_layers(wildcards):
    """The files that a model is converted from, by the name of their layer, or its folder; in no default storage."""
    model = model_settings(wildcards).canonical()
    names = ("folder", "base_mllm", "sam2", "pretrained", "checkpoint")
    return {name: local(model[name]) for name in names if model[name]}


def checkpoint_of_entrant(wildcards):
    """The folder of the model that an entrant asks; `{model}` is the entrant's name."""
    return at(artifacts.OF_CHECKPOINT, model=ENTRANTS[wildcards.model].model)


def models_of(places):
    """The models that a job asks whose entrants are at these places, each once."""
    return list(dict.fromkeys(ENTRANTS[each["model"]].model for each in places))


def checkpoints_of(places):
    """The folders of the models that a job asks; of one that is asked alone, that of the rule's wildcards."""
    if not places[0]:
        return checkpoint_of_entrant
    return [at(artifacts.OF_CHECKPOINT, model=model) for model in models_of(places)]


def asked_by(places):
    """Of each entrant that a job asks, the number of its model among these."""
    models = models_of(places) if places[0] else []
    return [models.index(ENTRANTS[each["model"]].model) for each in places if each] or [
        0
    ]


def questions_of_entrants(places):
    """What each of the entrants that a job asks is asked, or the only one; None where a file says it."""
    names = [each["model"] for each in places if each]
    return lambda wildcards: [
        ENTRANTS[name].question for name in names or [wildcards.model]
    ]


@cache
def entrants_by(kind):
    """The names of the entrants that see each image alone, or the frames of runs as a video."""
    known = ENTRANTS.values()
    return [each.name for each in known if each.kind == kind]


def is_run(entry):
    """Whether a model is asked; masks of another are imported, without probabilities."""
    return entry.entrant.kind != "imported"


def imported_settings(wildcards):
    return settings.models[ENTRANTS[wildcards.model].model]


def imports_made_by_the_workflow(wildcards):
    """What is imported where the workflow makes it, else nothing: Snakemake prints and keeps what it is given."""
    root = imported_settings(wildcards).predictions
    return [str(root)] if below_results(root) else []


def imports_state(wildcards):
    """A hash that changes where a setting or a file of what is imported does; paths do not show."""
    model = imported_settings(wildcards)
    made = imports_made_by_the_workflow(wildcards)
    paths = [model.options.given().get("annotations"), not made and model.predictions]
    return state_of_files(model.canonical(), filter(None, paths))


def sam2_of_entrant(wildcards):
    """SAM2's own checkpoint, where that propagates."""
    sam2 = settings.models[ENTRANTS[wildcards.model].model].sam2
    return {"sam2": local(str(sam2))} if settings.video.propagation == "sa2va-i" else {}


def of_videos(pattern):
    """One path per split on which frames are segmented as videos."""
    videos = [entry for entry in settings.entries() if entry.entrant.kind == "video"]
    return [pattern.format(**entry.places) for entry in videos]


def any_of(names):
    """A pattern of these names."""
    return "|".join(names) or "(?!)"


def candidates_of(wildcards):
    """The names of the entrants among whose questions an entrant's is chosen; mostly none."""
    return [each.name for each in ENTRANTS[wildcards.model].candidates]


def chosen_question(wildcards):
    """The file of an entrant's chosen question, where it is chosen."""
    names = {"model": wildcards.model, "dataset": wildcards.dataset}
    file = at(artifacts.CHOSEN, **names)
    return {"question": file} if candidates_of(wildcards) else {}


def layers_state(wildcards):
    """What changes where a file in a folder of a model does; of files, Snakemake sees it."""
    layers = model_layers(wildcards)
    return {
        name: folder_state(Path(path))
        for name, path in sorted(layers.items())
        if Path(path).is_dir()
    }


def dataset_settings(wildcards):
    return settings.datasets[wildcards.dataset]


def made_by_the_workflow(wildcards):
    """The folder of the data where the workflow makes it, else none: Snakemake prints and keeps what it is given."""
    root = dataset_settings(wildcards).root
    return [str(root)] if below_results(root) else []


def dataset_state(wildcards):
    """A hash that changes where a setting or a file of the data does; paths do not show."""
    made = made_by_the_workflow(wildcards)
    return state_of_data(dataset_settings(wildcards).canonical(), with_root=not made)


def of_evaluations(pattern, entries=None):
    """One path per entrant and split, of all or of these; the pattern has {model}, {dataset} and {split}."""
    entries = settings.entries() if entries is None else entries
    return [pattern.format(**entry.places) for entry in entries]


def key_files():
    """Data set -> key, of those with pseudonyms; beside the key lie the names, none of which a report may hold."""
    return {
        name: str(settings.datasets[name].key_file)
        for name in settings.evaluated("dataset")
        if settings.datasets[name].pseudonymise
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


def is_there(file):
    """Whether a file is in the default storage or, without one, on the disk."""
    return file.storage_object.exists() if file.is_storage else os.path.exists(file)


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


def answer_settings():
    """What can change an answer, besides its question."""
    results = settings.inference.result_settings()
    return {name: value for name, value in results.items() if name != "question"}


def where_logits_are_stored(**files):
    """These inputs or outputs by their names; none where no logits are stored."""
    return files if settings.inference.save_logits else {}


def scoring_settings(*names):
    """Some of the settings under `scores`; a rule that has only those it uses is not rerun by others."""
    return {name: settings.scores.canonical()[name] for name in names}


def scored_predictions():
    """The table that is scored: the refined one where anything is refined."""
    return at(artifacts.OF_PREDICTIONS, settings.scored_table())


def refinement_of(wildcards):
    """What becomes of an entrant's masks before they are scored."""
    imported = wildcards.model in entrants_by("imported")
    return settings.refinement.of_imports() if imported else settings.refinement


def tuned_threshold(wildcards):
    """The file of the tuned threshold, where it is tuned."""
    tuned = isinstance(refinement_of(wildcards).threshold, str)
    return {"threshold": at(artifacts.TUNED)} if tuned else {}


def comparisons(pattern):
    """One path per split on which several are compared; the pattern has {dataset} and {split}."""
    return [
        pattern.format(dataset=dataset, split=split)
        for dataset, split in settings.compared_splits()
    ]


def of_sequences(pattern):
    """One path per entrant and split whose data set has runs; the pattern as in `of_evaluations`."""
    return [
        pattern.format(**entry.places)
        for entry in settings.scored_entries()
        if settings.datasets[entry.dataset].runs
    ]


def external_comparison():
    """The file of models on other data sets than their own; none where there is none such."""
    return [at(artifacts.EXTERNAL)] if settings.away_from_home() else []


def sequence_comparisons(pattern):
    """The same of splits on which several are compared; the pattern has {dataset} and {split}."""
    return [
        pattern.format(dataset=dataset, split=split)
        for dataset, split in settings.compared_splits()
        if settings.datasets[dataset].runs
    ]


def scores_file(name):
    """A file of an entrant's scores, as reports of Snakemake show it."""
    kind = Path(name).stem
    places = {key: f"{{{key}}}" for key in ("model", "dataset", "split")}
    return report(
        at(artifacts.OF_SCORES, name),
        caption=f"../report/{kind}.rst",
        category="Scores",
        labels={**places, "file": kind},
    )


def labels_of_figure(wildcards):
    """How Snakemake's report lists a figure: `MODEL.DATASET.SPLIT.FIGURE`, and those of several models."""
    places = wildcards.figure.split(".", 3)
    if len(places) < 4 or places[0] == "compared":
        return {"model": "", "dataset": "", "split": "", "figure": wildcards.figure}
    return dict(zip(("model", "dataset", "split", "figure"), places, strict=True))
