import pytest

from refvessel.checkpoint.layer_names import Address, Part, base_address, sam2_address, training_address

LAYER = "model.layers.3.self_attn.q_proj"
OFFICIAL = f"language_model.{LAYER}.weight"


@pytest.mark.parametrize(
    ("stored", "official", "part"),
    [
        (f"mllm.model.language_model.base_model.model.{LAYER}.lora_A.default.weight", OFFICIAL, Part.LORA_A),
        (f"mllm.model.language_model.base_model.model.{LAYER}.lora_B.weight", OFFICIAL, Part.LORA_B),
        (f"mllm.model.language_model.base_model.model.{LAYER}.base_layer.weight", OFFICIAL, Part.VALUE),
        (f"mllm.model.language_model.{LAYER}.weight", OFFICIAL, Part.VALUE),
        (
            "mllm.model.language_model.base_model.model.lm_head.modules_to_save.default.weight",
            "language_model.lm_head.weight",
            Part.VALUE,
        ),
        (
            "mllm.model.language_model.base_model.model.model.embed_tokens.weight",
            "language_model.model.embed_tokens.weight",
            Part.VALUE,
        ),
        (
            "mllm.model.vision_model.base_model.model.encoder.layers.0.attn.qkv.lora_A.default.weight",
            "vision_model.encoder.layers.0.attn.qkv.weight",
            Part.LORA_A,
        ),
        (
            f"mllm.model.language_model.base_model.model.{LAYER}.base_layer.bias",
            f"language_model.{LAYER}.bias",
            Part.VALUE,
        ),
        (
            f"mllm.model.language_model.base_model.model.{LAYER}.lora_B.default.bias",
            f"language_model.{LAYER}.bias",
            Part.LORA_BIAS,
        ),
        (
            "mllm.model.language_model.base_model.model.model.embed_tokens.lora_embedding_A.default",
            "language_model.model.embed_tokens.weight",
            Part.EMBEDDING_A,
        ),
        (
            "mllm.model.language_model.base_model.model.model.embed_tokens.lora_embedding_B",
            "language_model.model.embed_tokens.weight",
            Part.EMBEDDING_B,
        ),
        (
            "mllm.model.language_model.base_model.model.output.original_module.weight",
            "language_model.output.weight",
            Part.ORIGINAL,
        ),
        ("mllm.model.mlp1.0.bias", "mlp1.0.bias", Part.VALUE),
        ("text_hidden_fcs.2.weight", "text_hidden_fcs.2.weight", Part.VALUE),
        (
            "grounding_encoder.sam2_model.sam_mask_decoder.iou_token.weight",
            "grounding_encoder.sam2_model.sam_mask_decoder.iou_token.weight",
            Part.VALUE,
        ),
    ],
)
def test_training_names_become_official(stored, official, part):
    assert training_address(stored) == Address(official, part)


def test_sam2_names_get_their_prefix_and_layer_scales_their_other_name():
    name = "memory_encoder.fuser.layers.0.gamma"
    assert sam2_address(name).tensor == "grounding_encoder.sam2_model.memory_encoder.fuser.layers.0.g_weight"
    assert sam2_address("no_mem_embed").tensor == "grounding_encoder.sam2_model.no_mem_embed"


def test_base_names_are_official():
    assert (
        base_address("vision_model.embeddings.class_embedding").tensor
        == "vision_model.embeddings.class_embedding"
    )
