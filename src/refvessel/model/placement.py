"""A model spread over several devices, so that who uses it need not know: which part lies where.

One device is the main one: images, prompts, masks and all that is computed outside of modules are there. SAM2 lies
there whole, since much of it is computed around its modules, and its weights are few. Each other part may lie
anywhere, split between its layers: a module's hook (of accelerate) takes its inputs to where it computes, and the
hooks set here bring a part's results back. A layer whose weights lie in the host's memory or on the disk computes
on the main device, which its weights visit for that time.
"""

from collections.abc import Iterable, Mapping
from typing import Any, cast

import torch
from accelerate.hooks import ModelHook, add_hook_to_module, remove_hook_from_submodules
from accelerate.utils import (
    compute_module_sizes,
    get_max_layer_size,
    infer_auto_device_map,
    send_to_device,
)
from torch import nn
from transformers.modeling_utils import PreTrainedModel

from refvessel.errors import UserError

GIB = 2**30

DISK = "disk"
_WHOLE = "grounding_encoder"
_CALLED = (  # what computes the results that are used outside of modules, beside image encoders
    "language_model.model.embed_tokens",
    "language_model.model.norm",
    "language_model.lm_head",
    "text_hidden_fcs",
)
_MOST_BESIDE = 2 * 4096  # bytes of a file beside its tensor: its header, and the rest of its last block
_STAYS_WITH_ITS_LAYER = "past_key_values"


def place(model: PreTrainedModel, dtype: torch.dtype, max_memory: Mapping[int | str, int]) -> dict[str, Any]:
    """Where each module of a model goes, as transformers takes it: name -> GPU number, "cpu" or "disk".

    Several GPUs get equal shares; what they cannot take goes to the host's memory, the rest to the disk.

    Args:
        model: without weights (on the device `meta`).
        dtype: of the weights.
        max_memory: as in `Spreading`.

    Raises UserError where the main device cannot hold SAM2 and one more layer.
    """
    main = next(iter(max_memory))
    exact = _exact(model, dtype)
    sizes = compute_module_sizes(model, dtype=dtype, special_dtypes=exact)
    undivided = _undivided(model)
    others = nn.ModuleDict({name: part for name, part in model.named_children() if name != _WHOLE})
    largest, _ = get_max_layer_size(list(others.named_children()), sizes, undivided)
    if max_memory[main] < sizes[_WHOLE] + largest:
        raise UserError(
            f"max_memory leaves {max_memory[main] / GIB:.3g} GiB of {_named(main)} to the weights, but "
            f"{(sizes[_WHOLE] + largest) / GIB:.3g} GiB are needed there, for SAM2 and one layer at a time; "
            "raise it, or choose a smaller dtype or a device with more memory."
        )
    room = dict(max_memory)
    gpus = [device for device in room if isinstance(device, int)]
    for gpu in gpus[:-1]:  # the last one takes what the shares of the others leave
        room[gpu] = min(room[gpu], sizes[""] // len(gpus) + largest)
    room[main] -= sizes[_WHOLE]
    # It keeps room for the largest on the main one.
    device_map = infer_auto_device_map(others, room, undivided, dtype, special_dtypes=exact)
    if set(device_map.values()) == {main}:
        return {"": main}
    if "" in device_map:  # which would stand for SAM2, too
        device_map = dict.fromkeys(others, device_map[""])
    return {**device_map, _WHOLE: main}


def bytes_on_disk(
    model: PreTrainedModel, dtype: torch.dtype, device_map: Mapping[str, Any], names: Iterable[str]
) -> int:
    """How much the tensors of these names take, each in a file, as far as they are placed on the disk."""
    sizes = compute_module_sizes(model, dtype=dtype, special_dtypes=_exact(model, dtype))
    on_disk = tuple(f"{module}." for module, device in device_map.items() if device == DISK)
    return sum(sizes[name] + _MOST_BESIDE for name in names if name.startswith(on_disk))


def _exact(model: PreTrainedModel, dtype: torch.dtype) -> dict[str, torch.dtype]:
    """The tensors that stay in float32 where the others are in float16."""
    if dtype != torch.float16:
        return {}
    kept = tuple(f"{name}." for name in model._keep_in_fp32_modules or ())
    return {name: torch.float32 for name in model.state_dict() if name.startswith(kept)}


def bring_results_back(model: PreTrainedModel, called: Iterable[str]) -> None:
    """Let each part of a spread model return tensors of the main device, as it takes them.

    `called` names the modules of its image encoder whose results are used outside of modules.
    """
    remove_hook_from_submodules(model.get_submodule(_WHOLE))  # its inputs are where it is
    layers = cast("nn.ModuleList", model.get_submodule("language_model.model.layers"))
    last_layer = f"language_model.model.layers.{len(layers) - 1}"
    for name in (*called, *_CALLED, last_layer):
        add_hook_to_module(model.get_submodule(name), _results_to(model.device), append=True)


def _results_to(device: torch.device) -> ModelHook:
    """A hook that moves a module's results."""
    hook = ModelHook()
    hook.post_forward = lambda _module, output: send_to_device(
        output, device, skip_keys=_STAYS_WITH_ITS_LAYER
    )
    return hook


def _undivided(model: PreTrainedModel) -> list[str]:
    """The classes of modules that lie on one device: layers, and what has tensors of its own beside modules."""
    mixed = {
        type(module).__name__
        for module in model.modules()
        if next(module.children(), None) and next(module.parameters(recurse=False), None) is not None
    }
    return sorted(mixed.union(model._no_split_modules or ()))


def _named(device: int | str) -> str:
    return "the CPU" if device == "cpu" else f"GPU {device}"
