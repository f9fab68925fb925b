"""The configuration of an official Sa2VA folder, as transformers' configurations of its parts."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from huggingface_hub.errors import StrictDataclassError
from transformers import (
    AutoConfig,
    InternVLConfig,
    InternVLVisionConfig,
    LlamaConfig,
    Phi3Config,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
    Sam2VideoConfig,
)
from transformers.models.sam2_video.configuration_sam2_video import (
    Sam2VideoMaskDecoderConfig,
    Sam2VideoPromptEncoderConfig,
)

from refvessel.errors import UserError
from refvessel.files import read_json
from refvessel.model.bounds import check_bounds, check_trunk
from refvessel.model.naming import INTERNLM2
from refvessel.model.prompt_templates import find_template

# The kinds of language models, as `llm_config.architectures` names them, and what each is built of. InternLM2
# computes what Llama does; it only names and fuses its tensors in another way.
LANGUAGE_MODELS = {
    "Qwen2ForCausalLM": Qwen2Config,
    "Qwen3ForCausalLM": Qwen3Config,
    "LlamaForCausalLM": LlamaConfig,
    INTERNLM2: LlamaConfig,
    "Phi3ForCausalLM": Phi3Config,
}
# The keys of an official llm_config that say what the model is. All others stay behind: transformers lets some
# choose code (attention from a hub of kernels, quantisers, patches), files, or how a model is run.
_LANGUAGE_KEYS = frozenset(
    {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "head_dim"}
    | {
        "num_key_value_heads",
        "hidden_act",
        "rms_norm_eps",
        "attention_bias",
        "mlp_bias",
        "bias",
        "pad_token_id",
    }
    | {"max_position_embeddings", "original_max_position_embeddings", "rope_theta", "rope_scaling"}
    | {
        "rope_parameters",
        "partial_rotary_factor",
        "use_sliding_window",
        "sliding_window",
        "max_window_layers",
    }
    | {"layer_types", "tie_word_embeddings"}
)

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

_LONGEST_REASON = 300  # characters

# Settings of which the official code knows other values than those built here.
_SUPPORTED = {"ps_version": "v2", "select_layer": -1, "downsample_ratio": 0.5, "pad2square": False}


class Sa2VAConfig(PreTrainedConfig):
    """`config.json` of an official InternVL-kind folder.

    Args:
        vision_config: InternViT, with the official keys (`qk_normalization`, `qkv_bias`, ...).
        llm_config: the language model; `architectures` names its kind.
        grounding_encoder_config: where SAM2 is not Hiera-L, the keys of `HIERA_LARGE` that differ.
        template: chat template, a key of `refvessel.model.prompt_templates.TEMPLATES`.
        force_image_size: side of a tile in pixels.
        min_dynamic_patch: least number of tiles.
        max_dynamic_patch: greatest number of tiles.
        use_thumbnail: whether the whole image follows the tiles.
        dynamic_image_size: whether an image is cut into tiles at all.

    Raises:
        UserError: for a setting, a template or a language model that is not supported.
    """

    model_type = "sa2va_chat"
    sub_configs = {"vision_config": InternVLVisionConfig, "llm_config": AutoConfig}  # noqa: RUF012

    def __init__(
        self,
        vision_config: dict[str, Any] | None = None,
        llm_config: dict[str, Any] | None = None,
        grounding_encoder_config: dict[str, Any] | None = None,
        template: str = "qwen_chat",
        force_image_size: int = 448,
        min_dynamic_patch: int = 1,
        max_dynamic_patch: int = 12,
        use_thumbnail: bool = True,
        dynamic_image_size: bool = True,
        **kwargs: Any,
    ) -> None:
        if kwargs.get("architectures") == ["Sa2VAChatModelQwen"]:
            raise UserError("config.json: Sa2VA of the Qwen-VL kinds is not supported; give an InternVL one.")
        for key, value in _SUPPORTED.items():
            if kwargs.setdefault(key, value) != value:
                raise UserError(f"config.json: {key} is {kwargs[key]!r}, but only {value!r} is supported.")
        _require_plain_weights(kwargs, llm_config)
        check_bounds(
            {
                "force_image_size": force_image_size,
                "min_dynamic_patch": min_dynamic_patch,
                "max_dynamic_patch": max_dynamic_patch,
                "use_thumbnail": use_thumbnail,
                "dynamic_image_size": dynamic_image_size,
                "vision_config": vision_config,
                "llm_config": llm_config,
                "grounding_encoder_config": grounding_encoder_config,
            }
        )
        find_template(template)
        self.vision_config = _vision_config(vision_config or {})
        self.llm_config = _language_config(llm_config or {})
        self.grounding_encoder_config = grounding_encoder_config
        self.template = template
        self.force_image_size = force_image_size
        self.min_dynamic_patch = min_dynamic_patch
        self.max_dynamic_patch = max_dynamic_patch
        self.use_thumbnail = use_thumbnail
        self.dynamic_image_size = dynamic_image_size
        for key in _SUPPORTED:
            setattr(self, key, kwargs[key])
        # Nothing else of the folder's settings reaches transformers, where some of them choose code.
        without: dict[str, Any] = {"tie_word_embeddings": False}
        super().__init__(**without)

    @property
    def architecture(self) -> str:
        """The kind of the language model, a key of `LANGUAGE_MODELS`."""
        return architecture_of(self.llm_config)

    @property
    def image_tokens_per_tile(self) -> int:
        """Number of image tokens that one tile becomes."""
        side, _ = cast("tuple[int, int]", self.vision_config.patch_size)
        patches = self.force_image_size // side
        return int(patches * self.downsample_ratio) ** 2

    def projector_config(self) -> InternVLConfig:
        """InternVL's configuration of the projector between its image and language models."""
        return InternVLConfig(
            vision_config=self.vision_config.to_dict(),
            text_config=self.llm_config.to_dict(),
            downsample_ratio=self.downsample_ratio,
        )

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
    """The kind of a language model, a key of `LANGUAGE_MODELS`."""
    return cast("list[str]", language_model.architectures)[0]


def sam2_side(sam2: Sam2VideoConfig) -> int:
    """The side of SAM2's square input, in pixels."""
    return cast("int", sam2.image_size)


def read_config(folder: Path) -> Sa2VAConfig:
    """Read `config.json` of an official folder, running none of the folder's code.

    Raises UserError where the folder, the file or a setting is not one of a supported Sa2VA model.
    """
    settings = read_json(Path(folder) / "config.json")
    if not isinstance(settings, dict) or settings.get("model_type") != Sa2VAConfig.model_type:
        raise UserError(
            f"{folder}/config.json: model_type is not sa2va_chat; give a Sa2VA Hugging Face folder."
        )
    with describing_a_model(str(folder)):
        return Sa2VAConfig(**settings)


@contextmanager
def describing_a_model(where: str) -> Iterator[None]:
    """What goes wrong in building from a `config.json` is a UserError that begins with `where`."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    except (
        ArithmeticError,
        AssertionError,
        AttributeError,
        LookupError,
        RuntimeError,
        StrictDataclassError,
        TypeError,
        ValueError,
    ) as error:
        said = f"it names {error}, which is not known" if isinstance(error, KeyError) else str(error)
        reason = " ".join(said.split())[:_LONGEST_REASON]
        raise UserError(
            f"{where}: config.json describes no model that can be built ({reason}); copy the model again."
        ) from error


def _require_plain_weights(settings: dict[str, Any], language_model: Any) -> None:
    """Raise UserError where the configuration says that the weights are quantised."""
    inner = language_model if isinstance(language_model, dict) else {}
    if settings.get("quantization_config") or inner.get("quantization_config"):
        raise UserError(
            "config.json: quantization_config is stated; give weights that are not quantised, or remove it."
        )


def _vision_config(official: dict[str, Any]) -> InternVLVisionConfig:
    if isinstance(official, InternVLVisionConfig):
        return official
    return InternVLVisionConfig(
        hidden_size=official.get("hidden_size", 1024),
        intermediate_size=official.get("intermediate_size", 4096),
        num_hidden_layers=official.get("num_hidden_layers", 24),
        num_attention_heads=official.get("num_attention_heads", 16),
        image_size=official.get("image_size", 448),
        patch_size=official.get("patch_size", 14),
        hidden_act=official.get("hidden_act", "gelu"),
        layer_norm_eps=official.get("layer_norm_eps", 1e-6),
        attention_bias=official.get("qkv_bias", True),
        use_qk_norm=official.get("qk_normalization", False),
        norm_type=official.get("norm_type", "layer_norm"),
    )


def _language_config(official: dict[str, Any]) -> PreTrainedConfig:
    if isinstance(official, PreTrainedConfig):
        return official
    architecture = (official.get("architectures") or ["Qwen2ForCausalLM"])[0]
    if architecture not in LANGUAGE_MODELS:
        raise UserError(
            f"config.json: llm_config.architectures names {architecture}, "
            f"but only {', '.join(LANGUAGE_MODELS)} are supported."
        )
    settings = {key: official[key] for key in official if key in _LANGUAGE_KEYS}
    settings["architectures"] = [architecture]
    if architecture == INTERNLM2:
        settings["attention_bias"] = settings.pop("bias", True)  # InternLM2's own default
    return LANGUAGE_MODELS[architecture](**settings)


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
