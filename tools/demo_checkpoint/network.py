"""The demo's Sa2VA: every part of the real one, as small as it can be and still see a 2-pixel vessel."""

from typing import Any

from refvessel.model.configuration import Sa2VAConfig

TEMPLATE = "qwen_chat"
LORA_RANK, LORA_ALPHA = 8, 16

_VISION = {
    "model_type": "intern_vit_6b",
    "architectures": ["InternVisionModel"],
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "image_size": 448,
    "patch_size": 14,
    "hidden_act": "gelu",
    "norm_type": "layer_norm",
    "layer_norm_eps": 1e-6,
    "qkv_bias": True,
    "qk_normalization": False,
}
_LANGUAGE = {
    "model_type": "qwen2",
    "architectures": ["Qwen2ForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 8192,
    "rope_theta": 1e6,
    "rms_norm_eps": 1e-6,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
}
_GROUNDING = {
    "embed_dim": 24,
    "num_heads": 1,
    "stages": [1, 2, 3, 2],
    "global_att_blocks": [7],
    "window_spec": [8, 4, 16, 8],
    "window_pos_embed_bkg_spatial_size": [7, 7],
    "image_size": 1024,
    "hidden_dim": 128,
    "mask_decoder_mlp_dim": 256,
    "iou_head_hidden_dim": 64,
    "memory_dim": 64,  # what SAM2's memory attention takes
    "memory_attention_layers": 1,
    "memory_attention_mlp_dim": 128,
    "memory_fuser_mlp_dim": 128,
}


def base_config(vocabulary_size: int) -> dict[str, Any]:
    """`config.json` of the InternVL folder; it also tells what trunk its SAM2 checkpoint has."""
    return {
        "architectures": ["InternVLChatModel"],
        "model_type": "internvl_chat",
        "auto_map": {
            "AutoConfig": "configuration_internvl_chat.InternVLChatConfig",
            "AutoModel": "modeling_internvl_chat.InternVLChatModel",
        },
        "template": "internvl2_5",
        "llm_config": _LANGUAGE | {"vocab_size": vocabulary_size},
        "vision_config": _VISION,
        "grounding_encoder_config": _GROUNDING,
        "downsample_ratio": 0.5,
        "dynamic_image_size": True,
        "force_image_size": 448,
        "hidden_size": _LANGUAGE["hidden_size"],
        "max_dynamic_patch": 12,
        "min_dynamic_patch": 1,
        "pad2square": False,
        "ps_version": "v2",
        "select_layer": -1,
        "use_thumbnail": True,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
    }


def sa2va_config(vocabulary_size: int) -> Sa2VAConfig:
    """The configuration of the whole model, as the conversion of its layers gives it."""
    base = base_config(vocabulary_size)
    return Sa2VAConfig(
        vision_config=base["vision_config"],
        llm_config=base["llm_config"],
        grounding_encoder_config=base["grounding_encoder_config"],
        template=TEMPLATE,
    )
