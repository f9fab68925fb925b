# Models, and the entrants that ask them something.
from functools import cache
from pathlib import Path

from refvessel import artifacts
from refvessel.provenance import folder_state, state_of_files

# By name; looked at for each job, of which there may be many thousands.
ENTRANTS = settings.entrants()


@cache
def entrants_by(kind):
    """The names of the entrants that see each image alone, or the frames of runs as a video."""
    known = ENTRANTS.values()
    return [each.name for each in known if each.kind == kind]


def is_run(entry):
    """Whether a model is asked; masks of another are imported, without probabilities."""
    return entry.entrant.kind != "imported"


def model_settings(wildcards):
    return settings.models[wildcards.model]


def model_layers(wildcards):
    """The files that a model is converted from, by the name of their layer, or its folder; in no default storage."""
    model = model_settings(wildcards).canonical()
    names = ("folder", "base_mllm", "sam2", "pretrained", "checkpoint")
    return {name: local(model[name]) for name in names if model[name]}


def layers_state(wildcards):
    """What changes where a file in a folder of a model does; of files, Snakemake sees it."""
    layers = model_layers(wildcards)
    return {
        name: folder_state(Path(path))
        for name, path in sorted(layers.items())
        if Path(path).is_dir()
    }


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


def candidates_of(wildcards):
    """The names of the entrants among whose questions an entrant's is chosen; mostly none."""
    return [each.name for each in ENTRANTS[wildcards.model].candidates]


def chosen_question(wildcards):
    """The file of an entrant's chosen question, where it is chosen."""
    names = {"model": wildcards.model, "dataset": wildcards.dataset}
    file = at(artifacts.CHOSEN, **names)
    return {"question": file} if candidates_of(wildcards) else {}


def sam2_of_entrant(wildcards):
    """SAM2's own checkpoint, where that propagates."""
    sam2 = settings.models[ENTRANTS[wildcards.model].model].sam2
    return {"sam2": local(str(sam2))} if settings.video.propagation == "sa2va-i" else {}


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
