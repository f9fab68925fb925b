import os
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from refvessel.errors import UserError
from refvessel.files import read_yaml
from refvessel.jobs.gpus import usable_gpus
from refvessel.jobs.runs import begin_run
from refvessel.jobs.slurm import cancel_jobs_of
from refvessel.preflight import require_sound_run
from refvessel.predictions.division import MOST_IN_A_QUEUE
from refvessel.settings.checked import checked_config
from refvessel.settings.whole import Settings

RESULTS = Path(workflow.pathvars.apply("<results>"))
if workflow.modifier.path_modifier.replace_prefix(str(RESULTS)) != str(RESULTS):
    raise WorkflowError(
        "config: a module of RefVessel takes no prefix, under which it would look for your data, too; "
        "set pathvars.results of its config instead."
    )

THREADS_OF_A_GPU = 8  # read images as fast as an H100 segments them

# A path -> the same, or with a default storage where it is copied while it is in use.
STORED = workflow.modifier.path_modifier.apply_default_storage
RESULTS_HERE = Path(STORED(str(RESULTS)))

# Jobs that Snakemake starts elsewhere read this file again: there, nothing is looked at a second time. Where
# jobs are submitted, their number is limited (--jobs), and they see the GPUs that the scheduler gives them.
QUEUED = workflow.resource_settings.nodes is not None
HERE = (
    workflow.is_main_process
    and not QUEUED
    and workflow.resource_settings.cores is not None
)


def demo_path(path):
    """A path of the demo's configuration, which is seen from the folder of the workflow."""
    return (
        path
        if os.path.exists(path)
        else os.path.join(os.path.dirname(DEMO_CONFIG), path)
    )


def read_settings():
    """The checked settings, their paths seen from the working directory."""
    for path in workflow.configfiles:
        read_yaml(Path(path))
    checked = checked_config(config, workflow.config_settings.config).canonical()
    for dataset in checked["datasets"].values():
        dataset["root"] = workflow.pathvars.apply(dataset["root"])
    for model in checked["models"].values():
        if model["predictions"]:
            model["predictions"] = workflow.pathvars.apply(model["predictions"])
    if DEMO_CONFIG in workflow.configfiles:
        for model in checked["models"].values():
            for layer in ("base_mllm", "sam2", "checkpoint"):
                if model[layer]:
                    model[layer] = demo_path(model[layer])
    return Settings.model_validate(checked)


def gpus_found():
    """GPUs of this machine that models may use; None where jobs run elsewhere."""
    if settings.inference.device == "cpu":
        return 0
    return len(usable_gpus()) if HERE else None


def share_gpus(found):
    """Let all jobs together take what --resources says, else the GPUs that are found, and tell it.

    Returns how many jobs of models run at once.
    """
    inference = settings.inference
    stated = (
        workflow.global_resources.get("gpu").value if workflow.is_main_process else None
    )
    if not HERE:
        most = min(workflow.resource_settings.nodes or 1, MOST_IN_A_QUEUE)
        return most if stated is None else max(1, stated // inference.gpus_per_job)
    if stated is None:
        # On the CPU one job computes at a time, as on one GPU: a model takes the memory and the cores.
        stated = found or inference.gpus_per_job
    workflow.register_resource("gpu", stated)
    at_once = stated // inference.gpus_per_job
    cores = workflow.resource_settings.cores
    by_cores = cores // min(cores, threads_of_models(at_once))
    logger.info(
        f"GPUs found: {found}. Shards segmented at once: {min(at_once, by_cores)} at most."
    )
    return at_once


def threads_of_models(at_once):
    """Cores of each job of a model, where none are stated: one on the CPU, whose number must not change a mask."""
    if settings.inference.threads:
        return settings.inference.threads
    if found == 0:
        return 1
    cores = workflow.resource_settings.cores or THREADS_OF_A_GPU * at_once
    return max(1, min(THREADS_OF_A_GPU, cores // at_once))


try:
    settings = read_settings()
    found = gpus_found()
    if workflow.is_main_process:
        require_sound_run(settings, results=RESULTS, gpus=found)
except UserError as error:
    raise WorkflowError(str(error))

WORKERS = share_gpus(found)
THREADS_OF_MODELS = threads_of_models(WORKERS)
config = settings.canonical()  # what a rule's script sees
if workflow.is_main_process and begin_run(cancel=cancel_jobs_of):
    logger.info("The lock of a killed run was taken away.")
