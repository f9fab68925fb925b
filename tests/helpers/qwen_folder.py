"""Very small Sa2VAs of the Qwen-VL families with random weights, written as official folders.

Image encoder and language model are transformers' own, with its names of tensors; an answer's tokens are wired,
and its states still depend on image and question.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from demo_checkpoint.tokenizer import SA2VA_TOKENS, train_tokenizer, write_tokenizer
from safetensors.torch import save_file
from small_sizes import SAM2
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

from refvessel.model.configuration import config_of
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.official_tensors import official_state_dict

FAMILIES = ("qwen2_5_vl", "qwen3_vl")
ANSWER = "Sure, [SEG].<|im_end|>"
SENTENCES = [
    "Please segment the vessel in this image.",
    "Sure, it is [SEG].",
    "user assistant system helpful",
]
TOKENS = (
    "<|im_end|>",
    "<|endoftext|>",
    "<|im_start|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
# As Qwen's own templates do: a system's turn where there is none, and blanks of blocks that vanish.
TEMPLATE = """{% set images = namespace(count=0) %}
{% for message in messages %}
    {% if loop.first and message.role != 'system' %}
        {{- '<|im_start|>system\\nYou are helpful.<|im_end|>\\n' }}
    {%- endif %}
    {{- '<|im_start|>' + message.role + '\\n' }}
    {%- for part in message.content %}
        {%- if part.type == 'image' or 'image' in part %}
            {%- set images.count = images.count + 1 %}
            {{- '<|vision_start|><|image_pad|><|vision_end|>' }}
        {%- elif 'text' in part %}
            {{- part.text }}
        {%- endif %}
    {%- endfor %}
    {{- '<|im_end|>\\n' }}
{% endfor %}
{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}
"""
_VISION = {
    "depth": 3,
    "hidden_size": 32,
    "intermediate_size": 36,
    "num_heads": 2,
    "out_hidden_size": 32,
    "in_channels": 3,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
}
_LANGUAGE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 8192,
}
_OF_FAMILY: dict[str, dict[str, Any]] = {
    "qwen2_5_vl": {
        "vision_config": {"patch_size": 14, "window_size": 112, "fullatt_block_indexes": [1]},
        "text_config": {
            "rope_theta": 1e6,
            "rope_scaling": {"type": "default", "rope_type": "default", "mrope_section": [1, 1, 2]},
        },
    },
    "qwen3_vl": {
        "vision_config": {
            "patch_size": 16,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0, 1],
            "hidden_act": "gelu_pytorch_tanh",
        },
        "text_config": {
            "head_dim": 8,
            "rope_theta": 5e6,
            "rope_scaling": {"rope_type": "default", "mrope_section": [2, 1, 1], "mrope_interleaved": True},
        },
    },
}
_LIBRARY: dict[str, Any] = {
    "qwen2_5_vl": (Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration),
    "qwen3_vl": (Qwen3VLConfig, Qwen3VLForConditionalGeneration),
}


@cache
def _words() -> Any:
    return train_tokenizer(SENTENCES)


def config(family: str, tokenizer: Qwen2Tokenizer) -> dict[str, Any]:
    """`config.json` as the official converter writes it, without what any version's `architectures` says."""
    of_family = _OF_FAMILY[family]
    return {
        "model_type": "sa2va_chat",
        "architectures": ["Sa2VAChatModelQwen"],
        "auto_map": {"AutoModel": "modeling_sa2va_qwen.Sa2VAChatModelQwen"},
        "vision_config": {"model_type": family, **_VISION, **of_family["vision_config"]},
        "text_config": {
            "model_type": f"{family}_text",
            "vocab_size": len(tokenizer),
            **_LANGUAGE,
            **of_family["text_config"],
        },
        "image_token_id": tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        "tie_word_embeddings": False,
        "grounding_encoder_config": SAM2,
    }


def preprocessor(family: str) -> dict[str, Any]:
    """`preprocessor_config.json`, with statistics that are no other model's."""
    return {
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.4, 0.45, 0.5],
        "image_processor_type": "Qwen2VLImageProcessorFast",
        "image_std": [0.25, 0.3, 0.2],
        "merge_size": 2,
        "patch_size": _OF_FAMILY[family]["vision_config"]["patch_size"],
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"longest_edge": 1003520, "shortest_edge": 3136},
        "temporal_patch_size": 2,
    }


def write_qwen_folder(folder: Path, family: str) -> Path:
    """Write an official folder of a family; its answers are `ANSWER`."""
    write_tokenizer(folder, _words(), (*TOKENS, *SA2VA_TOKENS))
    tokenizer = Qwen2Tokenizer.from_pretrained(folder, local_files_only=True)
    settings = config(family, tokenizer)
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor(family)))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    save_file(_weights(family, settings, tokenizer), folder / "model.safetensors")
    return folder


@torch.no_grad()
def _weights(family: str, settings: dict[str, Any], tokenizer: Qwen2Tokenizer) -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    of_config, of_model = _LIBRARY[family]
    parts = {key: dict(settings[key]) for key in ("vision_config", "text_config")}
    library = of_model(of_config(**parts, image_token_id=settings["image_token_id"]))
    for name, tensor in library.named_parameters():
        norm = "norm" in name or "ln_q" in name
        tensor.normal_(mean=float(norm and name.endswith("weight")), std=0.1)
        if "language_model" in name and name.endswith(("o_proj.weight", "down_proj.weight")):
            tensor.mul_(0.5)
    embeddings, head = library.model.language_model.embed_tokens.weight, library.lm_head.weight
    embeddings.normal_()
    head.mul_(0.1)
    answer = tokenizer.encode(ANSWER)
    begin = tokenizer.encode("<|im_start|>assistant\n")[-1]
    for token, following in zip([begin, *answer], answer, strict=False):
        head[following] = embeddings[token]
    whole = Sa2VAModel(config_of(settings))
    for parameter in whole.parameters():
        parameter.normal_(std=0.2)
    ours = official_state_dict(whole.state_dict(), whole.config.llm_config)
    shared = {name: each for name, each in ours.items() if name.startswith(("text_hidden_fcs", "grounding"))}
    theirs = {f"model.{name}": tensor for name, tensor in library.state_dict().items()}
    return {name: tensor.clone().contiguous() for name, tensor in (theirs | shared).items()}
