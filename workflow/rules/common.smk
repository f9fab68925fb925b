import os
from pathlib import Path

from refvessel import artifacts
from refvessel.code import code_hash
from refvessel.predictions.division import number_of_shards
from refvessel.provenance import folder_state, state_of_data
from refvessel.settings.refinement_section import TUNING_SPLIT

# Of what sees original names: beside the key and the names, outside everything that is published.
PRIVATE_LOGS = workflow.pathvars.apply("<private_logs>")


def at(*parts, **names):
    """A path below the results, of which some names are known."""
    path = os.path.join("<results>", *parts)
    for wildcard, name in names.items():
        path = path.replace(f"{{{wildcard}}}", name)
    return path


def code_of(rule):
    """The hash of a rule's script and of all that it imports of the package."""
    return code_hash(Path(workflow.basedir) / f"workflow/scripts/{rule}.py")


def model_settings(wildcards):
    return settings.models[wildcards.model]


def model_layers(wildcards):
    """The files that a model is converted from, by the name of their layer, or its folder."""
    model = model_settings(wildcards).canonical()
    names = ("folder", "base_mllm", "sam2", "pretrained", "checkpoint")
    return {name: model[name] for name in names if model[name]}


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
    return [str(root)] if root.resolve().is_relative_to(RESULTS.resolve()) else []


def dataset_state(wildcards):
    """A hash that changes where a setting or a file of the data does; paths do not show."""
    made = made_by_the_workflow(wildcards)
    return state_of_data(dataset_settings(wildcards).canonical(), with_root=not made)


def of_evaluations(pattern):
    """One path per evaluation; the pattern has {model}, {dataset} and {split}."""
    return [
        pattern.format(**evaluation.canonical()) for evaluation in settings.evaluations
    ]


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


def shard_files(suffix, model, dataset, split):
    """The files of a split's shards with this suffix."""
    folder = artifacts.OF_SHARDS.format(model=model, dataset=dataset, split=split)
    count = number_of_shards(RESULTS / folder, SHARDS)
    return [
        at(folder, f"{number}-of-{count}{suffix}") for number in range(1, count + 1)
    ]


def each_shard(suffix, split=None):
    """The same as an input function, of the split of a rule's wildcards or of this one."""
    return lambda wildcards: shard_files(
        suffix, wildcards.model, wildcards.dataset, split or wildcards.split
    )


def where_logits_are_stored(**files):
    """These inputs or outputs by their names; none where no logits are stored."""
    return files if settings.inference.save_logits else {}


def scoring_settings(*names):
    """Some of the settings under `scores`; a rule that has only those it uses is not rerun by others."""
    return {name: settings.scores.canonical()[name] for name in names}


def scored_predictions():
    """The table that is scored: the refined one where anything is refined."""
    return at(artifacts.OF_PREDICTIONS, settings.scored_table())


def tuned_threshold(wildcards):
    """The file of the tuned threshold, where it is tuned."""
    tuned = isinstance(settings.refinement.threshold, str)
    return {"threshold": at(artifacts.TUNED)} if tuned else {}


def comparisons(pattern):
    """One path per split on which several models are evaluated; the pattern has {dataset} and {split}."""
    return [
        pattern.format(dataset=dataset, split=split)
        for dataset, split in settings.compared_splits()
    ]
