"""Train the memory of the demo's SAM2 and put it into the layers: `python -m demo_checkpoint.memory --layers DIR`.

Only what SAM2 needs for frames after the prompted ones is new: memory attention, memory encoder, object pointers
and the memory's positions. All else is frozen and stays in the layers as it is, so no image's mask changes. What
`[SEG]` meant reaches a later frame through the memory alone, since the mask decoder gets no prompt there: that is
what is learned (see `memory_start`).
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from transformers import Sam2VideoModel

from demo_checkpoint.layers import BASE_FOLDER, SAM2_FILE
from demo_checkpoint.memory_start import learn_constant, pass_on, point_to, settle
from demo_checkpoint.network import base_config
from demo_checkpoint.readme import describe_memory
from demo_checkpoint.runs import PROMPTED, SeenRun, seen_run
from demo_checkpoint.samples import FIRST_TRAINING_PATIENT, FIRST_VALIDATION_PATIENT, LABELS
from demo_checkpoint.train import PHRASES
from refvessel.checkpoint.convert import convert_checkpoint
from refvessel.demo.annotations import SEED
from refvessel.files import atomic_file
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.naming import SAM2_PREFIX
from refvessel.model.official_tensors import official_state_dict
from refvessel.model.processing import Sa2VAProcessor
from refvessel.model.video_memory import FrameFeatures, Tracking, VideoMemory
from refvessel.settings.model_section import Model

PARTS = ("memory_attention", "memory_encoder", "object_pointer_proj")
VALUES = ("memory_temporal_positional_encoding", "no_object_pointer")
# The same in the official names, without the prefix of SAM2.
_OFFICIAL = ("memory_attention.", "memory_encoder.", "obj_ptr_proj.", "maskmem_tpos_enc", "no_obj_ptr")


@torch.no_grad()
def validate(model: Sa2VAModel, runs: Sequence[SeenRun]) -> dict[str, float]:
    """Mean Dice of the frames that are followed, by label, as inference computes their masks.

    It is 1 where mask and truth are both empty.
    """
    memory = VideoMemory(model.grounding_encoder, model.image_encoder)
    scores: dict[str, list[float]] = {label: [] for label in LABELS}
    for run in runs:
        features = [FrameFeatures(frame.coarse, frame.fine) for frame in run.frames]
        for number, label in enumerate(LABELS):
            prompt = run.prompts[number : number + 1]
            prompted = {
                place: memory.remember(each, memory.prompted(each, prompt))
                for place, each in enumerate(features[:PROMPTED])
            }
            tracking = Tracking(memory, prompted)
            for place in range(PROMPTED, len(features)):
                logits = tracking.step(place, features[place]).logits
                truth = run.frames[place].truths[number]
                found = functional.interpolate(logits[None], size=truth.shape, mode="bilinear")[0, 0] > 0
                total = found.sum() + truth.sum()
                scores[label].append(float(2 * (found & truth).sum() / total) if total else 1.0)
    return {label: sum(values) / len(values) for label, values in scores.items()}


def renew_memory(model: Sa2VAModel, seed: int) -> None:
    """Give the model a memory of random weights, of the size that the demo's network states."""
    torch.manual_seed(seed)
    config = model.config
    config.grounding_encoder_config = base_config(1)["grounding_encoder_config"]
    fresh = Sam2VideoModel(config.sam2_config())
    sam2 = model.grounding_encoder
    for name in PARTS:
        part = getattr(fresh, name).eval()  # nothing is dropped out
        for module in part.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                module.reset_parameters()
        setattr(sam2, name, part)
    for name in VALUES:
        setattr(sam2, name, nn.Parameter(0.02 * torch.randn_like(getattr(fresh, name))))
    sam2.mem_dim = fresh.mem_dim


def teach(model: Sa2VAModel, runs: Sequence[SeenRun], *, steps: int, seed: int) -> None:
    """Let a new memory pass on which phrase is meant; see `memory_start`."""
    frames = [frame for run in runs for frame in run.frames]
    sam2 = model.grounding_encoder
    positions = sam2.vision_encoder.neck.position_encoding(frames[0].coarse.shape, "cpu", torch.float32)
    model.requires_grad_(False)
    pass_on(model, frames, positions)
    point_to(model, frames, learn_constant(model, runs, positions, steps, seed))
    settle(model, runs, positions, steps, seed)


def load_layers(layers: Path) -> tuple[Sa2VAModel, Sa2VAProcessor]:
    """The model that the layers are converted to, in float32, and its processor."""
    (checkpoint,) = layers.glob("iter_*.pth")
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "model"
        settings = Model(
            base_mllm=layers / BASE_FOLDER, sam2=layers / SAM2_FILE, checkpoint=checkpoint, dtype="float32"
        )
        convert_checkpoint(output=output, settings=settings)
        return Sa2VAModel.load(output, dtype=torch.float32), Sa2VAProcessor.from_pretrained(output)


def write_memory(layers: Path, model: Sa2VAModel) -> None:
    """Replace the memory in the SAM2 checkpoint, in bfloat16, and its size in the base's configuration."""
    path = layers / SAM2_FILE
    checkpoint = torch.load(path, weights_only=True)
    for name, tensor in official_state_dict(model.state_dict()).items():
        official = name.removeprefix(SAM2_PREFIX).replace(".g_weight", ".gamma")
        if name.startswith(SAM2_PREFIX) and official.startswith(_OFFICIAL):
            checkpoint["model"][official] = tensor.detach().to(torch.bfloat16).contiguous()
    with atomic_file(path) as temporary:
        torch.save(checkpoint, temporary)
    config = layers / BASE_FOLDER / "config.json"
    stated = json.loads(config.read_text("utf-8"))
    stated["grounding_encoder_config"] = base_config(1)["grounding_encoder_config"]
    with atomic_file(config) as temporary:
        temporary.write_text(json.dumps(stated, indent=2) + "\n", "utf-8")


def train_memory(*, layers: Path, runs: int, frames: int, steps: int, seed: int) -> None:
    """Train the memory of the model in `layers` and put it there."""
    model, processor = load_layers(layers)

    def seen(first: int, count: int) -> list[SeenRun]:
        return [
            seen_run(model, processor, seed=seed, patient=first + number, frames=frames, phrases=PHRASES[0])
            for number in range(count)
        ]

    training, validation = (
        seen(FIRST_TRAINING_PATIENT, runs),
        seen(FIRST_VALIDATION_PATIENT, max(1, runs // 8)),
    )
    renew_memory(model, seed)
    teach(model, training, steps=steps, seed=seed)
    dice = validate(model, validation)
    print(dice, flush=True)
    write_memory(layers, model)
    describe_memory(layers, runs=runs, frames=frames, steps=steps, seed=seed, dice=dice)


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--layers", type=Path, required=True, help="folder of the layers; their memory is replaced"
    )
    parser.add_argument("--runs", type=int, default=20, help="synthetic runs, each of another patient")
    parser.add_argument("--frames", type=int, default=8, help="frames of each")
    parser.add_argument("--steps", type=int, default=400, help="steps of each kind of learning")
    parser.add_argument("--seed", type=int, default=SEED)
    train_memory(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
