"""What needs the model's classes to answer: the official names and shapes of its tensors."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from transformers.configuration_utils import PreTrainedConfig

from refvessel.model.configuration import config_of
from refvessel.model.grounded_configuration import architecture_of
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.naming import HEAD, INTERNLM2, POINT_EMBED, QKV, SHARED_POSITIONS, WQKV, to_official
from refvessel.model.projections import join_groups
from refvessel.model.shapes_alone import shapes_alone


def official_state_dict(
    state_dict: Mapping[str, Any], language_model: PreTrainedConfig | None = None
) -> dict[str, Any]:
    """Our model's state dict in the official names and shapes.

    Args:
        state_dict: module tensor name -> torch.Tensor (any dtype and device, `meta` included).
        language_model: transformers' configuration of the language model; may be left out for a Qwen2 with an
            output layer of its own.

    Returns:
        official tensor name -> tensor; fused tensors are new, the others are those given. An output layer that
        is tied to the embeddings is left out.

    Raises:
        KeyError: for a name that no official tensor has.
    """
    architecture = architecture_of(language_model) if language_model else "Qwen2ForCausalLM"
    twice = {SHARED_POSITIONS}
    if language_model and language_model.tie_word_embeddings:
        twice.add(HEAD)
    official = {}

    def add(name: str, tensor: Any) -> None:
        renamed = to_official(name, architecture)
        if renamed is None:
            raise KeyError(name)
        official[renamed] = tensor

    def projections(fused: re.Match[str]) -> list[Any]:
        prefix, _, kind = fused.groups()
        return [state_dict[f"{prefix}{part}_proj.{kind}"] for part in "qkv"]

    for name, tensor in state_dict.items():
        if name in twice:
            continue
        if name == POINT_EMBED:
            for index, row in enumerate(tensor.split(1)):
                add(name.replace("weight", f"{index}.weight"), row)
        elif fused := QKV.fullmatch(name):
            if fused[2] == "q":
                add(f"{fused[1]}qkv.{fused[3]}", torch.cat(projections(fused)))
        elif language_model and architecture == INTERNLM2 and (fused := WQKV.fullmatch(name)):
            if fused[2] == "q":
                groups = language_model.num_key_value_heads
                add(f"{fused[1]}wqkv.{fused[3]}", join_groups(projections(fused), groups))
        else:
            add(name, tensor)
    return official


def official_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Every tensor that an official folder with this `config.json` must hold: name -> shape.

    Raises UserError where the configuration describes a model that is not supported.
    """
    with shapes_alone():
        with torch.device("meta"):
            model = Sa2VAModel(config_of(config))
        tensors = official_state_dict(model.state_dict(), model.config.llm_config)
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}
