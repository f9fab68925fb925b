"""Tensor names: the official Hugging Face folder's on one side, our modules' on the other.

The table below is the whole truth about names. `#` stands for an index and `*` for `weight` or `bias`; both
sides of a row hold the same placeholders in the same order, so each row reads in both directions. Language
models are named alike on both sides, but for InternLM2, which is built of Llama's modules, and for the Qwen-VL
families, whose folders hold image encoder and language model as one. Only three kinds of tensors are not renamed
one to one: InternViT's query, key and value lie in one official `qkv`, those of InternLM2 in one `wqkv`, and the
four point embeddings of SAM2 in one module tensor.
"""

import re
from collections.abc import Mapping

INTERNLM2 = "InternLM2ForCausalLM"
QWEN2_5_VL = "Qwen2_5_VLForConditionalGeneration"
QWEN3_VL = "Qwen3VLForConditionalGeneration"
SAM2_PREFIX = "grounding_encoder.sam2_model."

# Frequencies of SAM2's positions: bfloat16 cannot represent them, and a model of any precision keeps them.
FLOAT32_TENSORS = frozenset({f"{SAM2_PREFIX}sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"})

_VISION = {
    "embeddings.class_embedding": "embeddings.cls_token",
    "embeddings.position_embedding": "embeddings.position_embeddings",
    "embeddings.patch_embedding.*": "embeddings.patch_embeddings.projection.*",
    "encoder.layers.#.attn.qkv.*": "encoder.layer.#.attention.qkv.*",
    "encoder.layers.#.attn.proj.*": "encoder.layer.#.attention.projection_layer.*",
    "encoder.layers.#.attn.q_norm.weight": "encoder.layer.#.attention.q_norm.weight",
    "encoder.layers.#.attn.k_norm.weight": "encoder.layer.#.attention.k_norm.weight",
    "encoder.layers.#.mlp.fc1.*": "encoder.layer.#.mlp.fc1.*",
    "encoder.layers.#.mlp.fc2.*": "encoder.layer.#.mlp.fc2.*",
    "encoder.layers.#.norm1.*": "encoder.layer.#.layernorm_before.*",
    "encoder.layers.#.norm2.*": "encoder.layer.#.layernorm_after.*",
    "encoder.layers.#.ls1": "encoder.layer.#.lambda_1",
    "encoder.layers.#.ls2": "encoder.layer.#.lambda_2",
}

_PROJECTOR = {"0.*": "layer_norm.*", "1.*": "linear_1.*", "3.*": "linear_2.*"}

_SAM2_ENCODER = {
    "trunk.pos_embed": "backbone.pos_embed",
    "trunk.pos_embed_window": "backbone.pos_embed_window",
    "trunk.patch_embed.proj.*": "backbone.patch_embed.projection.*",
    "trunk.blocks.#.norm1.*": "backbone.blocks.#.layer_norm1.*",
    "trunk.blocks.#.norm2.*": "backbone.blocks.#.layer_norm2.*",
    "trunk.blocks.#.attn.qkv.*": "backbone.blocks.#.attn.qkv.*",
    "trunk.blocks.#.attn.proj.*": "backbone.blocks.#.attn.proj.*",
    "trunk.blocks.#.mlp.layers.0.*": "backbone.blocks.#.mlp.proj_in.*",
    "trunk.blocks.#.mlp.layers.1.*": "backbone.blocks.#.mlp.proj_out.*",
    "trunk.blocks.#.proj.*": "backbone.blocks.#.proj.*",
    "neck.convs.#.conv.*": "neck.convs.#.*",
}

_SAM2_PROMPT_ENCODER = {
    "point_embeddings.#.weight": "point_embed.#.weight",
    "not_a_point_embed.weight": "not_a_point_embed.weight",
    "no_mask_embed.weight": "no_mask_embed.weight",
    "mask_downscaling.0.*": "mask_embed.conv1.*",
    "mask_downscaling.1.*": "mask_embed.layer_norm1.*",
    "mask_downscaling.3.*": "mask_embed.conv2.*",
    "mask_downscaling.4.*": "mask_embed.layer_norm2.*",
    "mask_downscaling.6.*": "mask_embed.conv3.*",
}


def _under(official: str, module: str, rows: Mapping[str, str]) -> dict[str, str]:
    return {official + ours: module + theirs for ours, theirs in rows.items()}


def _attention(official: str, module: str) -> dict[str, str]:
    """The four projections of one attention of SAM2's decoder or memory."""
    projections = {"q_proj": "q_proj", "k_proj": "k_proj", "v_proj": "v_proj", "out_proj": "o_proj"}
    return {f"{official}.{ours}.*": f"{module}.{theirs}.*" for ours, theirs in projections.items()}


def _three_layers(official: str, module: str) -> dict[str, str]:
    """The three linear layers of one of SAM2's heads."""
    layers = {"0": "proj_in", "1": "layers.0", "2": "proj_out"}
    return {f"{official}.layers.{ours}.*": f"{module}.{theirs}.*" for ours, theirs in layers.items()}


_SAM2_MASK_DECODER = {
    "iou_token.weight": "iou_token.weight",
    "mask_tokens.weight": "mask_tokens.weight",
    "obj_score_token.weight": "obj_score_token.weight",
    "conv_s0.*": "conv_s0.*",
    "conv_s1.*": "conv_s1.*",
    "output_upscaling.0.*": "upscale_conv1.*",
    "output_upscaling.1.*": "upscale_layer_norm.*",
    "output_upscaling.3.*": "upscale_conv2.*",
    "transformer.norm_final_attn.*": "transformer.layer_norm_final_attn.*",
    "transformer.layers.#.mlp.layers.0.*": "transformer.layers.#.mlp.proj_in.*",
    "transformer.layers.#.mlp.layers.1.*": "transformer.layers.#.mlp.proj_out.*",
    **{f"transformer.layers.#.norm{n}.*": f"transformer.layers.#.layer_norm{n}.*" for n in (1, 2, 3, 4)},
    **_attention("transformer.layers.#.self_attn", "transformer.layers.#.self_attn"),
    **_attention(
        "transformer.layers.#.cross_attn_token_to_image", "transformer.layers.#.cross_attn_token_to_image"
    ),
    **_attention(
        "transformer.layers.#.cross_attn_image_to_token", "transformer.layers.#.cross_attn_image_to_token"
    ),
    **_attention("transformer.final_attn_token_to_image", "transformer.final_attn_token_to_image"),
    **_three_layers("output_hypernetworks_mlps.#", "output_hypernetworks_mlps.#"),
    **_three_layers("iou_prediction_head", "iou_prediction_head"),
    **_three_layers("pred_obj_score_head", "pred_obj_score_head"),
}

# A convolution, its norm and an activation, four times; then the last convolution.
_MASK_DOWNSAMPLER = {
    **{f"encoder.{3 * n}.*": f"layers.{n}.conv.*" for n in range(4)},
    **{f"encoder.{3 * n + 1}.*": f"layers.{n}.layer_norm.*" for n in range(4)},
    "encoder.12.*": "final_conv.*",
}

_SAM2_MEMORY = {
    "maskmem_tpos_enc": "memory_temporal_positional_encoding",
    "no_mem_embed": "no_memory_embedding",
    "no_mem_pos_enc": "no_memory_positional_encoding",
    "no_obj_ptr": "no_object_pointer",
    "mask_downsample.*": "mask_downsample.*",
    **_three_layers("obj_ptr_proj", "object_pointer_proj"),
    "memory_attention.norm.*": "memory_attention.layer_norm.*",
    "memory_attention.layers.#.linear1.*": "memory_attention.layers.#.linear1.*",
    "memory_attention.layers.#.linear2.*": "memory_attention.layers.#.linear2.*",
    **{
        f"memory_attention.layers.#.norm{n}.*": f"memory_attention.layers.#.layer_norm{n}.*"
        for n in (1, 2, 3)
    },
    **_attention("memory_attention.layers.#.self_attn", "memory_attention.layers.#.self_attn"),
    **_attention("memory_attention.layers.#.cross_attn_image", "memory_attention.layers.#.cross_attn_image"),
    "memory_encoder.pix_feat_proj.*": "memory_encoder.feature_projection.*",
    "memory_encoder.out_proj.*": "memory_encoder.projection.*",
    "memory_encoder.fuser.layers.#.dwconv.*": "memory_encoder.memory_fuser.layers.#.depthwise_conv.*",
    "memory_encoder.fuser.layers.#.norm.*": "memory_encoder.memory_fuser.layers.#.layer_norm.*",
    "memory_encoder.fuser.layers.#.pwconv1.*": "memory_encoder.memory_fuser.layers.#.pointwise_conv1.*",
    "memory_encoder.fuser.layers.#.pwconv2.*": "memory_encoder.memory_fuser.layers.#.pointwise_conv2.*",
    "memory_encoder.fuser.layers.#.g_weight": "memory_encoder.memory_fuser.layers.#.scale",
    **_under("memory_encoder.mask_downsampler.", "memory_encoder.mask_downsampler.", _MASK_DOWNSAMPLER),
}


_TABLE = {
    **_under("vision_model.", "vision_model.", _VISION),
    **_under("mlp1.", "multi_modal_projector.", _PROJECTOR),
    "text_hidden_fcs.#.*": "text_hidden_fcs.#.*",
    **_under(f"{SAM2_PREFIX}image_encoder.", "grounding_encoder.vision_encoder.", _SAM2_ENCODER),
    **_under(f"{SAM2_PREFIX}sam_prompt_encoder.", "grounding_encoder.prompt_encoder.", _SAM2_PROMPT_ENCODER),
    f"{SAM2_PREFIX}sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix": (
        "grounding_encoder.shared_image_embedding.positional_embedding"
    ),
    **_under(f"{SAM2_PREFIX}sam_mask_decoder.", "grounding_encoder.mask_decoder.", _SAM2_MASK_DECODER),
    **_under(SAM2_PREFIX, "grounding_encoder.", _SAM2_MEMORY),
}

_LANGUAGE_MODEL = "language_model."
_SHARED = ("text_hidden_fcs.", "grounding_encoder.")  # alike in all families
HEAD, _EMBEDDING = "language_model.lm_head.weight", "language_model.model.embed_tokens.weight"
_INTERNLM2_TABLE = _under(
    "language_model.",
    "language_model.",
    {
        "output.weight": "lm_head.weight",
        "model.tok_embeddings.weight": "model.embed_tokens.weight",
        "model.norm.weight": "model.norm.weight",
        "model.layers.#.attention_norm.weight": "model.layers.#.input_layernorm.weight",
        "model.layers.#.attention.wqkv.*": "model.layers.#.self_attn.wqkv.*",
        "model.layers.#.attention.wo.*": "model.layers.#.self_attn.o_proj.*",
        "model.layers.#.ffn_norm.weight": "model.layers.#.post_attention_layernorm.weight",
        "model.layers.#.feed_forward.w1.weight": "model.layers.#.mlp.gate_proj.weight",
        "model.layers.#.feed_forward.w2.weight": "model.layers.#.mlp.down_proj.weight",
        "model.layers.#.feed_forward.w3.weight": "model.layers.#.mlp.up_proj.weight",
    },
)
_QWEN_PREFIXES = {
    "model.model.visual.": "vision_model.",
    "model.model.language_model.": "language_model.model.",
    "model.lm_head.": "language_model.lm_head.",
}
WQKV = re.compile(r"(language_model\.model\.layers\.\d+\.self_attn\.)(q|k|v)_proj\.(weight|bias)")
QKV = re.compile(r"(vision_model\.encoder\.layer\.\d+\.attention\.)(q|k|v)_proj\.(weight|bias)")
POINT_EMBED = "grounding_encoder.prompt_encoder.point_embed.weight"
# One buffer under two names: the prompt encoder's own is the shared one.
SHARED_POSITIONS = "grounding_encoder.prompt_encoder.shared_embedding.positional_embedding"


class _Renaming:
    """One direction of the table."""

    def __init__(self, rows: Mapping[str, str]) -> None:
        self._rows = [(_pattern(source), _template(target)) for source, target in rows.items()]

    def __call__(self, name: str) -> str | None:
        for pattern, template in self._rows:
            if match := pattern.fullmatch(name):
                return template.format(*match.groups())
        return None


def _pattern(source: str) -> re.Pattern[str]:
    return re.compile(re.escape(source).replace(r"\#", r"(\d+)").replace(r"\*", "(weight|bias)"))


def _template(target: str) -> str:
    return target.replace("#", "{}").replace("*", "{}")


def _both_ways(table: Mapping[str, str]) -> tuple[_Renaming, _Renaming]:
    return _Renaming(table), _Renaming({module: official for official, module in table.items()})


_to_module, _to_official = _both_ways(_TABLE)
_internlm2_to_module, _internlm2_to_official = _both_ways(_INTERNLM2_TABLE)


def _renamed(name: str, prefixes: Mapping[str, str], of_others: _Renaming) -> str | None:
    """A name of a Qwen-VL family: by its prefix, or as in the other families where it is SAM2's."""
    for prefix, instead in prefixes.items():
        if name.startswith(prefix):
            return instead + name.removeprefix(prefix)
    return of_others(name) if name.startswith(_SHARED) else None


def to_module(official: str, architecture: str) -> str | None:
    """Our module's name for an official tensor name; None where the name is not of a Sa2VA model.

    `architecture` is that of the language model. Fused tensors come out as `...attention.qkv.*` and
    `...self_attn.wqkv.*`, the point embeddings as `...point_embed.#.weight`: names that no module has until they
    are split or joined.
    """
    if architecture in (QWEN2_5_VL, QWEN3_VL):
        return _renamed(official, _QWEN_PREFIXES, _to_module)
    if not official.startswith(_LANGUAGE_MODEL):
        return _to_module(official)
    return _internlm2_to_module(official) if architecture == INTERNLM2 else official


def to_official(module: str, architecture: str) -> str | None:
    """The inverse of `to_module`; None where no official tensor has that name."""
    if architecture in (QWEN2_5_VL, QWEN3_VL):
        return _renamed(module, {ours: theirs for theirs, ours in _QWEN_PREFIXES.items()}, _to_official)
    if not module.startswith(_LANGUAGE_MODEL):
        return _to_official(module)
    return _internlm2_to_official(module) if architecture == INTERNLM2 else module


def head_name(architecture: str) -> str:
    """The official name of the language model's output layer."""
    return _known(HEAD, architecture)


def embedding_name(architecture: str) -> str:
    """The official name of the language model's token embeddings."""
    return _known(_EMBEDDING, architecture)


def _known(module: str, architecture: str) -> str:
    name = to_official(module, architecture)
    if name is None:
        raise KeyError(module)
    return name
