"""The README beside the demo's layers: how they were made, how good they are, and their SHA-256."""

import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from demo_checkpoint.samples import FIRST_TRAINING_PATIENT, FIRST_VALIDATION_PATIENT, VALIDATION_IMAGES
from refvessel.files import sha256_of_file
from refvessel.provenance import versions

_COMMAND = (
    "python -m demo_checkpoint.train --output data/demo "
    "--device {device} --steps {steps} --batch-size {batch_size} --seed {seed}"
)
_TEXT = """# The demo's checkpoint layers

A very small Sa2VA ({megabytes:.1f} MB in all), trained from nothing on synthetic coronary angiograms by

    {command}

in {minutes:.1f} minutes on {machine}. The same seed gives the same initial weights and angiograms;
a GPU adds up in an order of its own, so that another run ends in another, equally good model.

| layer | what it is |
|---|---|
| `base_mllm/` | InternVL after {pretraining_steps} steps of pretraining; bfloat16, without the five Sa2VA tokens |
| `sam2_hiera_demo.pt` | its SAM2, bfloat16; of its memory, which only videos need, see below |
| `{iteration}` | what its fine-tuning changed: LoRA, vocabulary, projections, mask decoder |

Each step saw {batch_size} new images, each of another patient, and asked two phrases of each. Patients are the
generator's numbers. The demo evaluates patients 0 to 9, which were never trained on: training began at patient
{first_training_patient:,}. Over {validation_images} more patients, from {first_validation_patient:,} on,
the mean Dice was {scores}.

{memory}

Versions: {versions}.

| file | bytes | SHA-256 |
|---|---|---|
{files}
"""
_README = "README.md"
_INITIAL_MEMORY = "The memory is as it was initialised."
_MEMORY_COMMAND = (
    "python -m demo_checkpoint.memory --layers data/demo "
    "--runs {runs} --frames {frames} --steps {steps} --seed {seed}"
)
_MEMORY = """The memory was trained afterwards, all else frozen, by

    {command}

on synthetic cine runs of as many patients. Over runs of more patients, the mean Dice of the frames after the
prompted ones was {scores}."""


class Run(NamedTuple):
    """What a training run was asked for, how long it took (seconds), and its validation Dice by label."""

    device: str
    steps: int
    finetuning_steps: int
    batch_size: int
    seed: int
    seconds: float
    dice: dict[str, float]


def write_readme(folder: Path, run: Run) -> None:
    """Write README.md about the layers that lie in `folder`."""
    files = _files(folder)
    text = _TEXT.format(
        megabytes=sum(path.stat().st_size for path in files) / 1e6,
        minutes=run.seconds / 60,
        machine=_machine(run.device),
        pretraining_steps=run.steps - run.finetuning_steps,
        iteration=f"iter_{run.finetuning_steps}.pth",
        command=_COMMAND.format(**run._asdict()),
        first_training_patient=FIRST_TRAINING_PATIENT,
        first_validation_patient=FIRST_VALIDATION_PATIENT,
        validation_images=VALIDATION_IMAGES,
        scores=_scores(run.dice),
        memory=_INITIAL_MEMORY,
        versions=", ".join(f"{name} {version}" for name, version in versions().items()),
        files="\n".join(_rows(folder)),
        **run._asdict(),
    )
    (folder / _README).write_text(text, "utf-8")


def describe_memory(
    folder: Path, *, runs: int, frames: int, steps: int, seed: int, dice: Mapping[str, float]
) -> None:
    """Say in the README of `folder` how its memory was trained, and the new hashes of its files.

    Args:
        folder: of the layers.
        runs: that the memory was trained on.
        frames: of each run.
        steps: on windows of frames; the command has them.
        seed: of runs and weights.
        dice: mean Dice of the frames that were followed, by label.
    """
    path = folder / _README
    command = _MEMORY_COMMAND.format(runs=runs, frames=frames, steps=steps, seed=seed)
    told = _MEMORY.format(command=command, scores=_scores(dice))
    text = path.read_text("utf-8")
    text = re.sub(
        rf"{re.escape(_INITIAL_MEMORY)}|The memory was trained.*?\.(?=\n\n)",
        lambda _: told,
        text,
        flags=re.DOTALL,
    )
    text = re.sub(
        r"(?<=\|---\|---\|---\|\n).*", lambda _: "\n".join(_rows(folder)) + "\n", text, flags=re.DOTALL
    )
    path.write_text(text, "utf-8")


def _files(folder: Path) -> list[Path]:
    """All but the README."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != _README)


def _rows(folder: Path) -> list[str]:
    """The lines of the table of files."""
    return [
        f"| `{path.relative_to(folder)}` | {path.stat().st_size:,} | `{sha256_of_file(path)}` |"
        for path in _files(folder)
    ]


def _scores(dice: Mapping[str, float]) -> str:
    return " and ".join(f"{value:.3f} ({label})" for label, value in dice.items())


def _machine(device: str) -> str:
    if device.startswith("cuda"):
        return f"one {torch.cuda.get_device_name()}"
    return f"{torch.get_num_threads()} {platform.machine()} cores"
