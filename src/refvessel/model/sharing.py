"""Checkpoints of one training run: what is equal in them is in memory once, and computed once.

Tensors are compared bit by bit, whatever a file says of them: -0 is not 0, and a NaN is equal to itself. A tower
of which all tensors are equal becomes one module of several models, so that what it sees is known to be the same.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from refvessel.errors import UserError
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.processing import Sa2VAProcessor

_OF_QUESTIONS = "template"  # a key of configurations that says nothing of modules or images
_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by the bytes of an element


def require_one_kind(models: Mapping[str, Any], processors: Sequence[Sa2VAProcessor]) -> None:
    """Raise UserError unless models are of one family and size, and see images alike.

    Args:
        models: name -> configuration.
        processors: of the models, in the same order.
    """
    first, *others = models
    described = {name: _description(config) for name, config in models.items()}
    for name, processor in zip(others, processors[1:], strict=True):
        if differing := _differing(described[first], described[name]):
            raise UserError(
                f"{name} and {first} are of different families or sizes ({differing} of config.json differs); "
                "segment each kind by itself."
            )
        if processor.statistics != processors[0].statistics:
            raise UserError(
                f"{name} and {first} normalise images by other means and deviations; segment each kind by itself."
            )


def _description(config: Any) -> dict[str, Any]:
    return {"family": type(config).__name__, **config.to_dict()}


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    """The first key in which two configurations differ."""
    keys = sorted((one.keys() | other.keys()) - {_OF_QUESTIONS})
    return next((key for key in keys if one.get(key) != other.get(key)), None)


def share_equal(model: Sa2VAModel, earlier: Sequence[Sa2VAModel]) -> int:
    """Let a model use the tensors, and the towers, of models before it where they are equal.

    All are whole, on one device, and built in the same way.

    Returns:
        The bytes of tensors that are now in memory once less.
    """
    saved = 0
    for name, module, key, tensor in _tensors(model):
        for other in earlier:
            owner = other.get_submodule(name)
            known = owner._parameters.get(key, owner._buffers.get(key))
            if known is not None and _is_equal(tensor, known):
                saved += tensor.nbytes if known is not tensor else 0
                tensors: dict[str, Any] = module._parameters if key in module._parameters else module._buffers
                tensors[key] = known
                break
    for other in earlier:
        if model.vision.tower is not other.vision.tower and _is_one(model.vision.tower, other.vision.tower):
            model.vision_model = model.vision.tower = other.vision.tower
        trunk, theirs = model.image_encoder.trunk, other.image_encoder.trunk
        if trunk is not theirs and _is_one(trunk, theirs):
            model.grounding_encoder.vision_encoder.backbone = theirs
    return saved


def shared_towers(models: Sequence[Sa2VAModel]) -> dict[nn.Module, int]:
    """The towers that several models share, and how many do."""
    towers = Counter(tower for model in models for tower in (model.vision.tower, model.image_encoder.trunk))
    return {tower: count for tower, count in towers.items() if count > 1}


def _tensors(model: nn.Module) -> Iterator[tuple[str, nn.Module, str, torch.Tensor]]:
    """Module's name, module, tensor's name in it, and tensor, of all that a state dict would hold."""
    for name, module in model.named_modules():
        for key, parameter in module._parameters.items():
            if parameter is not None:
                yield name, module, key, parameter
        for key, buffer in module._buffers.items():
            if buffer is not None and key not in module._non_persistent_buffers_set:
                yield name, module, key, buffer


def _is_equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    if one is other:
        return True
    if (one.dtype, one.shape, one.device) != (other.dtype, other.shape, other.device):
        return False
    bits = _BITS[one.element_size()]
    return torch.equal(one.detach().contiguous().view(bits), other.detach().contiguous().view(bits))


def _is_one(tower: nn.Module, other: nn.Module) -> bool:
    """Whether two towers have all their tensors in common."""
    mine = [(name, key, id(tensor)) for name, _, key, tensor in _tensors(tower)]
    return mine == [(name, key, id(tensor)) for name, _, key, tensor in _tensors(other)]
