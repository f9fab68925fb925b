"""Train the memory of the demo's SAM2 and put it into the layers: `python -m demo_checkpoint.memory --layers DIR`.

Only what SAM2 needs for frames after the prompted ones learns: memory attention, memory encoder, object pointers
and the memory's positions. All else is frozen and stays in the layers as it is, so no image's mask changes.
What `[SEG]` meant reaches a later frame through the memory alone: the mask decoder gets no prompt there.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional
from transformers import Sam2VideoModel

from demo_checkpoint.layers import BASE_FOLDER, SAM2_FILE
from demo_checkpoint.memory_start import learn_constant, pass_on, point_to
from demo_checkpoint.network import base_config
from demo_checkpoint.readme import describe_memory
from demo_checkpoint.runs import PROMPTED, Frame, SeenRun, decode, scaled, seen_run
from demo_checkpoint.samples import FIRST_TRAINING_PATIENT, FIRST_VALIDATION_PATIENT, LABELS
from demo_checkpoint.train import PHRASES
from refvessel.checkpoint.convert import convert_checkpoint
from refvessel.demo.annotations import SEED
from refvessel.files import atomic_file
from refvessel.model.modeling import ImageFeatures, Sa2VAModel
from refvessel.model.naming import SAM2_PREFIX
from refvessel.model.official_tensors import official_state_dict
from refvessel.model.processing import Sa2VAProcessor
from refvessel.settings.model_section import Model

PARTS = ("memory_attention", "memory_encoder", "object_pointer_proj")
VALUES = ("memory_temporal_positional_encoding", "no_object_pointer")
# The same in the official names, without the prefix of SAM2.
_OFFICIAL = ("memory_attention.", "memory_encoder.", "obj_ptr_proj.", "maskmem_tpos_enc", "no_obj_ptr")
_CELLS = 64  # side of the coarsest features
_WINDOW = 24  # side of the part of them that most steps train on
_WEIGHTS = {"pixels": 4.0, "dice": 1.0, "iou": 1.0, "presence": 2.0}
_CLEAR = 0.05  # of a score of presence, on the right side of zero
_STEPS_OF_CONSTANT = 400
_LARGE_RATE = 200.0  # of parameters that have the size of features, as a multiple of the others' rate
_LOG_EVERY = 100  # steps


class Remembered(NamedTuple):
    """What SAM2 keeps of a frame.

    features: (1, memory channels, rows, columns); pointer: (1, hidden).
    position: of the memory's temporal encodings; the last is that of prompted frames.
    """

    features: torch.Tensor
    pointer: torch.Tensor
    position: int


class Memory:
    """The memory of a model, as it is computed at inference, on windows of frames.

    Args:
        model: the whole one; its memory's parameters are made to learn.
    """

    def __init__(self, model: Sa2VAModel) -> None:
        self.model, self._sam2 = model, model.grounding_encoder
        size = torch.Size((1, self._sam2.hidden_dim, _CELLS, _CELLS))
        self.positions = self._sam2.vision_encoder.neck.position_encoding(size, "cpu", torch.float32)
        self._all_ids = self._sam2.memory_attention.position_ids.reshape(_CELLS, _CELLS, 2)

    def remember(
        self,
        frame: Frame,
        logits: torch.Tensor,
        token: torch.Tensor,
        presence: torch.Tensor,
        window: tuple[slice, slice],
        *,
        position: int,
    ) -> Remembered:
        """What is kept of a window of a frame.

        Args:
            frame: the whole one.
            logits: of its mask in the window, at a quarter of the image's size.
            token: the decoder's of that mask, (hidden,).
            presence: the decoder's score of whether there is anything, a scalar.
            window: rows and columns.
            position: 0 of a prompted frame, else how many frames ago it is.
        """
        sam2, (rows, columns) = self._sam2, window
        mask = functional.interpolate(logits[None, None], scale_factor=4, mode="bilinear")
        scale, bias = sam2.config.sigmoid_scale_for_mem_enc, sam2.config.sigmoid_bias_for_mem_enc
        features, _ = sam2.memory_encoder(frame.coarse[..., rows, columns], mask.sigmoid() * scale + bias)
        pointer = sam2.object_pointer_proj(token[None]) if presence > 0 else sam2.no_object_pointer
        return Remembered(features.to(torch.bfloat16).float(), pointer, position)

    def prompted(self, run: SeenRun, number: int, phrase: int, window: tuple[slice, slice]) -> Remembered:
        """What is kept of a prompted frame."""
        logits = run.logits[number, phrase][*(scaled(part, 4) for part in window)]
        token, presence = run.tokens[number, phrase], run.presence[number, phrase]
        return self.remember(run.frames[number], logits, token, presence, window, position=0)

    def followed(self, frame: Frame, known: Sequence[Remembered], window: tuple[slice, slice]) -> Remembered:
        """What is kept of the frame before, as it was followed itself; only how it is kept can learn from it."""
        with torch.no_grad():
            logits, scores, tokens, presence = self.follow(frame, known, window)
        best = scores[0].argmax()
        return self.remember(frame, logits[0, best], tokens[0, best], presence[0, 0], window, position=1)

    def follow(
        self, frame: Frame, remembered: Sequence[Remembered], window: tuple[slice, slice]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """What the mask decoder says of a frame by what is remembered alone; see `decode`."""
        sam2, (rows, columns) = self._sam2, window
        attention = sam2.memory_attention
        attention.position_ids = self._all_ids[rows, columns].reshape(-1, 2)
        whole = sam2.memory_encoder.position_encoding(
            torch.Size((1, sam2.mem_dim, _CELLS, _CELLS)), "cpu", torch.float32
        )
        places = _flat(whole[..., rows, columns])
        memories = [_flat(each.features) for each in remembered]
        encodings = [
            places + sam2.memory_temporal_positional_encoding[each.position - 1] for each in remembered
        ]
        pointers = torch.cat([each.pointer.reshape(-1, 1, sam2.mem_dim) for each in remembered])
        coarse = frame.coarse[..., rows, columns]
        conditioned = attention(
            current_vision_features=_flat(coarse),
            current_vision_position_embeddings=_flat(self.positions[..., rows, columns]),
            memory=torch.cat([*memories, pointers]),
            memory_posision_embeddings=torch.cat([*encodings, torch.zeros_like(pointers)]),
            num_object_pointer_tokens=len(pointers),
        )
        embedding = conditioned.reshape(-1, coarse.shape[1]).T.reshape(coarse.shape)
        return decode(self.model, ImageFeatures(embedding, frame.fine_window(window)), None, rows, columns)


class MemoryTrainer:
    """Learns from runs that the frozen model has seen."""

    def __init__(self, memory: Memory, runs: Sequence[SeenRun], seed: int) -> None:
        self._memory, self._runs, self._random = memory, runs, random.Random(seed)
        sam2 = memory.model.grounding_encoder
        memory.model.requires_grad_(False)
        self._parameters = [each for name in PARTS for each in getattr(sam2, name).parameters()]
        self._parameters += [getattr(sam2, name) for name in VALUES]
        for each in self._parameters:
            each.requires_grad_()

    def learn(self, steps: int, *, rate: float, side: int, memories: int) -> None:
        """Train on windows of `side` cells, each with `memories` remembered frames of either kind at most."""
        attention = self._memory.model.grounding_encoder.memory_attention
        large = [*attention.layer_norm.parameters(), attention.layers[-1].linear2.bias]
        others = [each for each in self._parameters if all(each is not one for one in large)]
        optimiser = torch.optim.AdamW(
            [{"params": others}, {"params": large, "lr": _LARGE_RATE * rate}], lr=rate, weight_decay=0.0
        )
        schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.05, total_iters=steps)
        started, told = time.monotonic(), dict.fromkeys(_WEIGHTS, 0.0)
        for step in range(1, steps + 1):
            terms = self._losses(side, memories)
            optimiser.zero_grad()
            sum(weight * terms[name] for name, weight in _WEIGHTS.items()).backward()
            nn.utils.clip_grad_norm_(self._parameters, 1.0)
            optimiser.step()
            schedule.step()
            told = {name: told[name] + terms[name].item() for name in told}
            if step % _LOG_EVERY == 0 or step == steps:
                parts = " ".join(f"{name} {value / _LOG_EVERY:.3f}" for name, value in told.items())
                print(f"{step}/{steps} {time.monotonic() - started:.0f} s  {parts}", flush=True)
                told = dict.fromkeys(_WEIGHTS, 0.0)

    def _losses(self, side: int, memories: int) -> dict[str, torch.Tensor]:
        """The terms of one step, about one phrase and one frame that is followed."""
        draw = self._random
        run, phrase = draw.choice(self._runs), draw.randrange(len(LABELS))
        window = self._window(run, phrase, side)
        target = draw.randrange(PROMPTED, len(run.frames))
        prompted = draw.sample(range(PROMPTED), draw.randint(1, memories))
        known = [self._memory.prompted(run, number, phrase, window) for number in prompted]
        for distance in range(min(memories, target - PROMPTED), 0, -1):
            if draw.random() < 0.6:
                frame = run.frames[target - distance]
                known.append(self._memory.followed(frame, known, window)._replace(position=distance))
        logits, scores, _, presence = self._memory.follow(run.frames[target], known, window)
        truth = run.frames[target].truths[phrase][*(scaled(part, 8) for part in window)][None].float()
        # A followed frame shall point to what the prompted ones point to.
        away = functional.relu(_CLEAR - presence * run.presence[0, phrase].sign()).mean()
        return {**_mask_losses(logits, scores, truth), "presence": away}

    def _window(self, run: SeenRun, phrase: int, side: int) -> tuple[slice, slice]:
        """A part of the features, the same in all frames, most often one that shows what is meant."""
        for _ in range(4):
            row, column = (self._random.randint(0, _CELLS - side) for _ in range(2))
            window = slice(row, row + side), slice(column, column + side)
            shown = run.frames[PROMPTED - 1].truths[phrase][*(scaled(part, 8) for part in window)]
            if shown.any():
                break
        return window


@torch.no_grad()
def validate(memory: Memory, runs: Sequence[SeenRun]) -> dict[str, float]:
    """Mean Dice of the frames that are followed, by label; 1 where mask and truth are both empty."""
    whole = slice(0, _CELLS), slice(0, _CELLS)
    scores: dict[str, list[float]] = {label: [] for label in LABELS}
    for run in runs:
        for phrase, label in enumerate(LABELS):
            prompted = [memory.prompted(run, number, phrase, whole) for number in range(PROMPTED)]
            followed: list[Remembered] = []
            for frame in run.frames[PROMPTED:]:
                earlier = [each._replace(position=n) for n, each in enumerate(reversed(followed[-6:]), 1)]
                logits, ious, tokens, presence = memory.follow(frame, [*prompted, *earlier], whole)
                best = ious[0].argmax()
                kept = memory.remember(
                    frame, logits[0, best], tokens[0, best], presence[0, 0], whole, position=1
                )
                followed.append(kept)
                found = functional.interpolate(
                    logits[:, best][None], size=frame.truths.shape[-2:], mode="bilinear"
                )
                found, truth = found[0, 0] > 0, frame.truths[phrase]
                total = found.sum() + truth.sum()
                scores[label].append(float(2 * (found & truth).sum() / total) if total else 1.0)
    return {label: sum(values) / len(values) for label, values in scores.items()}


def _mask_losses(logits: torch.Tensor, scores: torch.Tensor, truth: torch.Tensor) -> dict[str, torch.Tensor]:
    """Of the three masks (1, 3, ...), their predicted IoU (1, 3), and the truth (1, rows, columns)."""
    logits = functional.interpolate(logits, size=truth.shape[-2:], mode="bilinear")
    truth = truth[:, None].expand_as(logits)
    inside = logits.sigmoid()
    overlap, total = (inside * truth).sum((-2, -1)), (inside + truth).sum((-2, -1))
    with torch.no_grad():
        found = logits > 0
        both, either = (found * truth).sum((-2, -1)), (found + truth).clamp(max=1).sum((-2, -1))
        iou = (both + 1) / (either + 1)
    return {
        "pixels": functional.binary_cross_entropy_with_logits(logits, truth),
        "dice": (1 - (2 * overlap + 1) / (total + 1)).mean(),
        "iou": functional.mse_loss(scores, iou),
    }


def _flat(features: torch.Tensor) -> torch.Tensor:
    """(1, channels, rows, columns) to (rows * columns, 1, channels)"""
    return features.flatten(2).permute(2, 0, 1)


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


def begin(memory: Memory, runs: Sequence[SeenRun], seed: int) -> None:
    """Let a new memory pass on which phrase is meant; see `memory_start`."""
    frames = [frame for run in runs for frame in run.frames]
    memory.model.requires_grad_(False)
    pass_on(memory.model, frames, memory.positions)
    constant = learn_constant(memory.model, runs, memory.positions, _STEPS_OF_CONSTANT, seed)
    point_to(memory.model, frames, constant)


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
    """Train the memory of the model in `layers` and put it there; a tenth of the steps is on whole frames."""
    started = time.monotonic()
    model, processor = load_layers(layers)
    phrases = list(PHRASES[0])

    def seen(first: int, count: int) -> list[SeenRun]:
        numbers = range(first, first + count)
        return [
            seen_run(model, processor, seed=seed, patient=number, frames=frames, phrases=phrases)
            for number in numbers
        ]

    training, validation = (
        seen(FIRST_TRAINING_PATIENT, runs),
        seen(FIRST_VALIDATION_PATIENT, max(1, runs // 8)),
    )
    print(f"{runs} runs seen after {time.monotonic() - started:.0f} s", flush=True)
    renew_memory(model, seed)
    memory = Memory(model)
    begin(memory, training, seed)
    trainer = MemoryTrainer(memory, training, seed)
    trainer.learn(steps, rate=5e-4, side=_WINDOW, memories=2)
    print(validate(memory, validation), flush=True)
    trainer.learn(max(1, steps // 10), rate=1e-4, side=_CELLS, memories=2)
    dice = validate(memory, validation)
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
    parser.add_argument("--steps", type=int, default=200, help="a tenth more is on whole frames")
    parser.add_argument("--seed", type=int, default=SEED)
    train_memory(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
