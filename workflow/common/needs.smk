# What jobs need: environments, memory, time, GPUs and tries.
import os
from pathlib import Path

from refvessel.jobs.needs import memory_mb, runtime_minutes, size_mb
from refvessel.predictions.division import answers_of_split

# Where models are run; all else needs no GPU. They differ in the build of PyTorch.
ENVIRONMENT_OF_MODELS = (
    f"../../envs/{'cpu' if settings.inference.device == 'cpu' else 'cuda'}.yaml"
)


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
