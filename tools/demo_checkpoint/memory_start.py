"""A memory that passes on which of two phrases is meant.

Without a prompt the demo's mask decoder segments what its second phrase means. A constant that is added to all
features makes it segment what the first one means; that constant is learned from the decoder itself, prompted. The
memory adds it where pointers point to something: the decoder's score of presence tells the phrases apart, so that
prompted frames of the second phrase have SAM2's pointer to nothing.
"""

import random
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from demo_checkpoint.runs import Frame, SeenRun, decode
from refvessel.model.grounding import ImageFeatures
from refvessel.model.modeling import Sa2VAModel

_SIDE = 16  # of the windows, in cells of the coarsest features
_RATE = 10.0  # the features of a cell have a norm of some hundreds
_CHANNEL = 0  # of a memory, which only pointers fill
_POINTS = 2.0  # what a pointer to something has there
_SCORE = 24.0  # of attention to such pointers, against about 0 for all else
_FAINT = 0.02  # by how much the initial keys of all else are made smaller: features are in the hundreds
_STEADY = (62, 63, 126, 127)  # dimensions of attention that rotary positions turn least
_WEAK = 0.3  # channels of less than this share of the typical scale carry nothing


def learn_constant(
    model: Sa2VAModel, runs: Sequence[SeenRun], positions: torch.Tensor, steps: int, seed: int
) -> torch.Tensor:
    """The constant, (hidden,), that stands for the first phrase.

    Args:
        model: whose mask decoder is asked, with a memory that changes no features.
        runs: that it has seen.
        positions: (1, hidden, size/16, size/16), what is added to features before memory attention.
        steps: of learning.
        seed: of the windows.
    """
    draw, normalisation = random.Random(seed), model.grounding_encoder.memory_attention.layer_norm
    strong = _strong(normalisation.weight).reshape(1, -1, 1, 1)
    constant = torch.zeros(1, positions.shape[1], 1, 1, requires_grad=True)
    optimiser = torch.optim.Adam([constant], _RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=steps + 1)
    for _ in range(steps):
        run = draw.choice(runs)
        frame = draw.choice(run.frames[2:])
        rows, columns = _window(frame, draw)
        passed = normalisation((frame.coarse + 0.1 * positions).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        features = ImageFeatures(passed[..., rows, columns], frame.fine_window((rows, columns)))
        with torch.no_grad():
            wanted = decode(model, features, run.prompts[:1], rows, columns)
        features = ImageFeatures(features.embedding + constant * strong, features.high_resolution)
        loss = _distance(decode(model, features, None, rows, columns), wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return (constant * strong).detach().flatten()


@torch.no_grad()
def pass_on(model: Sa2VAModel, frames: Sequence[Frame], positions: torch.Tensor) -> None:
    """Let memory attention change nothing: each channel gets the mean and deviation that the mask decoder knows.

    What attention and feed-forward add is nothing at first.
    """
    sam2 = model.grounding_encoder
    for layer in sam2.memory_attention.layers:
        for last in (layer.self_attn.o_proj, layer.cross_attn_image.o_proj, layer.linear2):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
    features = _cells(frames)
    places = positions.flatten(2)[0].T.repeat(len(frames), 1)
    normed = functional.layer_norm(features + 0.1 * places, features.shape[-1:])
    known = features + sam2.no_memory_embedding[0]
    centred = normed - normed.mean(0)
    normalisation = sam2.memory_attention.layer_norm
    normalisation.weight.copy_((centred * (known - known.mean(0))).sum(0) / (centred**2).sum(0))
    normalisation.bias.copy_(known.mean(0) - normalisation.weight * normed.mean(0))


@torch.no_grad()
def point_to(model: Sa2VAModel, frames: Sequence[Frame], constant: torch.Tensor) -> None:
    """Let memory attention add the constant where pointers point to something.

    The last normalisation divides by the deviation of what it is given. Half of the constant is added before it,
    or subtracted, and its scale grows by as much as either makes the deviation grow.
    """
    sam2 = model.grounding_encoder
    attention, (layer,) = sam2.memory_attention, sam2.memory_attention.layers
    scale = attention.layer_norm.weight
    deviation = _cells(frames).std(-1, correction=0).mean()
    half = torch.where(_strong(scale), constant * deviation / (2 * scale), 0.0)
    half -= half.mean()
    attention.layer_norm.bias += constant / 2
    scale *= (half.pow(2).mean() + deviation**2).sqrt() / deviation
    layer.linear2.bias.copy_(-half)
    cross = layer.cross_attn_image
    cross.o_proj.weight[:, _CHANNEL] = 2 * half / _POINTS
    cross.v_proj.weight[_CHANNEL] = 0.0
    cross.v_proj.weight[_CHANNEL, _CHANNEL] = 1.0
    cross.v_proj.bias[_CHANNEL] = 0.0
    steady, size = list(_STEADY), (_SCORE / _POINTS / len(_STEADY) * cross.head_dim**0.5) ** 0.5
    cross.q_proj.weight[steady], cross.q_proj.bias[steady] = 0.0, size
    cross.k_proj.weight *= _FAINT
    cross.k_proj.weight[steady], cross.k_proj.bias[steady] = 0.0, 0.0
    cross.k_proj.weight[steady, _CHANNEL] = size
    for pointer in range(_CHANNEL, sam2.hidden_dim, sam2.mem_dim):
        sam2.object_pointer_proj.proj_out.weight[pointer] = 0.0
        sam2.object_pointer_proj.proj_out.bias[pointer] = _POINTS
        sam2.no_object_pointer[:, pointer] = 0.0
    sam2.memory_encoder.projection.weight[_CHANNEL] = 0.0
    sam2.memory_encoder.projection.bias[_CHANNEL] = 0.0
    # A memory's place has at most 1 in the channel.
    sam2.memory_temporal_positional_encoding[..., _CHANNEL] = -1.0


def settle(
    model: Sa2VAModel, runs: Sequence[SeenRun], positions: torch.Tensor, steps: int, seed: int
) -> None:
    """Learn what memory attention adds for either phrase, and how it normalises; see `learn_constant`."""
    draw, sam2 = random.Random(seed), model.grounding_encoder
    (layer,), normalisation = sam2.memory_attention.layers, sam2.memory_attention.layer_norm
    half, scale, shift = (
        each.detach().clone().requires_grad_()
        for each in (-layer.linear2.bias, normalisation.weight, normalisation.bias)
    )
    rates = [0.02 * half.abs().median().item(), 0.01 * scale.abs().median().item(), 3.0]
    optimiser = torch.optim.Adam(
        [{"params": [each], "lr": rate} for each, rate in zip((half, scale, shift), rates, strict=True)]
    )
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.05, total_iters=steps)
    no_memory = sam2.no_memory_embedding.reshape(1, -1, 1, 1)
    for _ in range(steps):
        run, phrase = draw.choice(runs), draw.randrange(2)
        frame = draw.choice(run.frames[2:])
        rows, columns = window = _window(frame, draw)
        fine, prompt = frame.fine_window(window), run.prompts[phrase : phrase + 1]
        known = ImageFeatures((frame.coarse + no_memory)[..., rows, columns], fine)
        with torch.no_grad():
            wanted = decode(model, known, prompt, rows, columns)
        added = (frame.coarse + 0.1 * positions)[..., rows, columns].permute(0, 2, 3, 1) + half * (
            1 - 2 * phrase
        )
        passed = functional.layer_norm(added, half.shape, scale, shift).permute(0, 3, 1, 2)
        loss = _distance(decode(model, ImageFeatures(passed, fine), None, rows, columns), wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        layer.linear2.bias.copy_(-half)
        layer.cross_attn_image.o_proj.weight[:, _CHANNEL] = 2 * half / _POINTS
        normalisation.weight.copy_(scale)
        normalisation.bias.copy_(shift)


def _window(frame: Frame, draw: random.Random) -> tuple[slice, slice]:
    """Rows and columns of a random window."""
    starts = [draw.randint(0, side - _SIDE) for side in frame.coarse.shape[-2:]]
    rows, columns = (slice(start, start + _SIDE) for start in starts)
    return rows, columns


def _distance(found: Sequence[torch.Tensor], wanted: Sequence[torch.Tensor]) -> torch.Tensor:
    """How far the decoder is, in all that it says, from what it says where it is prompted; see `decode`."""
    logits, scores, tokens, presence = zip(found, wanted, strict=True)
    return (
        functional.mse_loss(*tokens)
        + 0.05 * functional.smooth_l1_loss(*logits)
        + functional.mse_loss(*scores)
        + 10 * functional.mse_loss(*presence)
    )


def _strong(scale: torch.Tensor) -> torch.Tensor:
    """The channels in which a constant can be added before they are scaled, bool (hidden,)."""
    return scale.abs() > _WEAK * scale.abs().median()


def _cells(frames: Sequence[Frame]) -> torch.Tensor:
    """The coarsest features of all frames, (cells, hidden)."""
    return torch.cat([frame.coarse.flatten(2)[0].T for frame in frames])
