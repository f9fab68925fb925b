import os
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from refvessel.config import checked_config
from refvessel.errors import UserError
from refvessel.files import read_yaml
from refvessel.jobs.gpus import usable_gpus
from refvessel.jobs.runs import begin_run
from refvessel.preflight import require_sound_run

RESULTS = Path(workflow.pathvars.apply("<results>"))

# Jobs that Snakemake starts elsewhere read this file again: there, nothing is looked at a second time.
HERE = workflow.is_main_process and workflow.resource_settings.cores is not None


def demo_path(path):
    """A path of the demo's configuration, which is seen from the folder of the workflow."""
    return path if os.path.exists(path) else os.path.join(workflow.basedir, path)


def read_config():
    """The checked configuration, its paths seen from the working directory."""
    for path in workflow.configfiles:
        read_yaml(Path(path))
    checked = checked_config(
        config,
        Path(workflow.basedir) / "workflow/schemas/config.schema.yaml",
        workflow.config_settings.config,
    )
    for settings in checked["datasets"].values():
        settings["root"] = workflow.pathvars.apply(settings["root"])
    if DEMO_CONFIG in workflow.configfiles:
        for settings in checked["models"].values():
            for layer in ("base_mllm", "sam2", "checkpoint"):
                if settings.get(layer):
                    settings[layer] = demo_path(settings[layer])
    return checked


def gpus_found():
    """GPUs of this machine that models may use; None where jobs run elsewhere."""
    if config["inference"]["device"] == "cpu":
        return 0
    return len(usable_gpus()) if HERE else None


def share_gpus(found):
    """Let all jobs together take what --resources says, else the GPUs that are found, and tell it."""
    inference = config["inference"]
    stated = workflow.global_resources.get("gpu").value if HERE else None
    if stated is None:
        # On the CPU one job computes at a time, as on one GPU: a model takes the memory and the cores.
        stated = found or inference["gpus_per_job"]
    at_once = stated // inference["gpus_per_job"]
    if inference["shards"] is None:
        inference["shards"] = max(2, at_once)
    if not HERE:
        return
    workflow.register_resource("gpu", stated)
    cores = workflow.resource_settings.cores
    at_once = min(
        at_once, inference["shards"], cores // min(cores, inference["threads"])
    )
    logger.info(
        f"GPUs found: {found}. Shards segmented at once: {at_once}, of {inference['shards']} per split."
    )


try:
    config = read_config()
    found = gpus_found()
    if workflow.is_main_process:
        require_sound_run(config, results=RESULTS, gpus=found)
except UserError as error:
    raise WorkflowError(str(error))

share_gpus(found)
if workflow.is_main_process and begin_run():
    logger.info("The lock of a killed run was taken away.")
