"""What the configurations of all families have in common: a language model, and SAM2."""

from typing import Any, cast

from transformers.configuration_utils import PreTrainedConfig
from transformers.models.sam2_video.configuration_sam2_video import (
    Sam2VideoConfig,
    Sam2VideoMaskDecoderConfig,
    Sam2VideoPromptEncoderConfig,
)

from refvessel.errors import UserError
from refvessel.model.bounds import check_trunk

# The SAM2 trunk of every released model; `grounding_encoder_config` describes another, whole or in part.
HIERA_LARGE = {
    "embed_dim": 144,
    "num_heads": 2,
    "stages": [2, 6, 36, 4],
    "global_att_blocks": [23, 33, 43],
    "window_spec": [8, 4, 16, 8],
    "window_pos_embed_bkg_spatial_size": [7, 7],
    "image_size": 1024,
    "hidden_dim": 256,
    "mask_decoder_mlp_dim": 2048,
    "iou_head_hidden_dim": 256,
    "memory_dim": 64,
    "memory_attention_layers": 4,
    "memory_attention_mlp_dim": 2048,
    "memory_fuser_mlp_dim": 1024,
}


class GroundedConfig(PreTrainedConfig):
    """A Sa2VA's configuration; those of the families set the attributes.

    Attributes:
        vision_config: of the family's image encoder.
        llm_config: of the language model; `architectures` names its kind.
        grounding_encoder_config: where SAM2 is not Hiera-L, the keys of `HIERA_LARGE` that differ.
    """

    model_type = "sa2va_chat"

    @property
    def architecture(self) -> str:
        """The kind of the language model."""
        return architecture_of(self.llm_config)

    def sam2_config(self) -> Sam2VideoConfig:
        """SAM2's configuration in transformers' terms.

        Raises UserError for an unknown key of `grounding_encoder_config`, and for numbers that do not go together.
        """
        stated = self.grounding_encoder_config or {}
        if unknown := sorted(set(stated) - set(HIERA_LARGE)):
            raise UserError(
                f"config.json: grounding_encoder_config has unknown keys {', '.join(unknown)}; "
                f"known are {', '.join(HIERA_LARGE)}."
            )
        complete = HIERA_LARGE | stated
        check_trunk(complete)
        return _sam2_config(complete)


def architecture_of(language_model: PreTrainedConfig) -> str:
    """The kind of a language model."""
    return cast("list[str]", language_model.architectures)[0]


def require_plain_weights(*settings: Any) -> None:
    """Raise UserError where a configuration, or a part of it, says that the weights are quantised."""
    if any(isinstance(part, dict) and part.get("quantization_config") for part in settings):
        raise UserError(
            "config.json: quantization_config is stated; give weights that are not quantised, or remove it."
        )


def sam2_side(sam2: Sam2VideoConfig) -> int:
    """The side of SAM2's square input, in pixels."""
    return cast("int", sam2.image_size)


def _sam2_config(settings: dict[str, Any]) -> Sam2VideoConfig:
    width, size, hidden = settings["embed_dim"], settings["image_size"], settings["hidden_dim"]
    widths = [width * 2**stage for stage in range(4)]
    backbone = {
        "model_type": "sam2_hiera_det_model",
        "image_size": [size, size],
        "hidden_size": width,
        "num_attention_heads": settings["num_heads"],
        "blocks_per_stage": settings["stages"],
        "embed_dim_per_stage": widths,
        "num_attention_heads_per_stage": [settings["num_heads"] * 2**stage for stage in range(4)],
        "window_size_per_stage": settings["window_spec"],
        "global_attention_blocks": settings["global_att_blocks"],
        "window_positional_embedding_background_size": settings["window_pos_embed_bkg_spatial_size"],
    }
    vision = {
        "model_type": "sam2_vision_model",
        "backbone_config": backbone,
        "backbone_channel_list": widths[::-1],
        "backbone_feature_sizes": [[size // stride, size // stride] for stride in (4, 8, 16)],
        "fpn_hidden_size": hidden,
    }
    return Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config=Sam2VideoPromptEncoderConfig(hidden_size=hidden, image_size=size),
        mask_decoder_config=Sam2VideoMaskDecoderConfig(
            hidden_size=hidden,
            mlp_dim=settings["mask_decoder_mlp_dim"],
            iou_head_hidden_dim=settings["iou_head_hidden_dim"],
        ),
        image_size=size,
        # Sa2VA carries SAM2's first release, which has neither of these two.
        enable_occlusion_spatial_embedding=False,
        enable_temporal_pos_encoding_for_object_pointers=False,
        memory_attention_hidden_size=hidden,
        memory_attention_num_layers=settings["memory_attention_layers"],
        memory_attention_feed_forward_hidden_size=settings["memory_attention_mlp_dim"],
        memory_attention_rope_feat_sizes=[size // 16, size // 16],
        memory_encoder_hidden_size=hidden,
        memory_encoder_output_channels=settings["memory_dim"],
        mask_downsampler_embed_dim=hidden,
        memory_fuser_embed_dim=hidden,
        memory_fuser_intermediate_dim=settings["memory_fuser_mlp_dim"],
    )
