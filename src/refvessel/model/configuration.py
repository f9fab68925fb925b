"""The configuration of an official Sa2VA folder, as transformers' configurations of its parts."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from huggingface_hub.errors import StrictDataclassError
from transformers.configuration_utils import PreTrainedConfig
from transformers.models.auto.configuration_auto import AutoConfig
from transformers.models.internvl.configuration_internvl import InternVLConfig, InternVLVisionConfig
from transformers.models.llama.configuration_llama import LlamaConfig
from transformers.models.phi3.configuration_phi3 import Phi3Config
from transformers.models.qwen2.configuration_qwen2 import Qwen2Config
from transformers.models.qwen3.configuration_qwen3 import Qwen3Config

from refvessel.errors import UserError
from refvessel.files import read_json
from refvessel.model.bounds import check_bounds
from refvessel.model.grounded_configuration import GroundedConfig, require_plain_weights
from refvessel.model.naming import INTERNLM2
from refvessel.model.prompt_templates import find_template
from refvessel.model.qwen_configuration import QwenSa2VAConfig, qwen_family

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

_LONGEST_REASON = 300  # characters

# Settings of which the official code knows other values than those built here.
_SUPPORTED = {"ps_version": "v2", "select_layer": -1, "downsample_ratio": 0.5, "pad2square": False}


class Sa2VAConfig(GroundedConfig):
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
        for key, value in _SUPPORTED.items():
            if kwargs.setdefault(key, value) != value:
                raise UserError(f"config.json: {key} is {kwargs[key]!r}, but only {value!r} is supported.")
        require_plain_weights(kwargs, llm_config)
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


def config_of(settings: Mapping[str, Any]) -> Sa2VAConfig | QwenSa2VAConfig:
    """The configuration that a `config.json` describes, of the family that it tells by its parts.

    What it states as `architectures` names classes of the official code, which differ between versions of its
    converter; it tells nothing here.

    Raises UserError for a setting that is not supported.
    """
    family = qwen_family(settings)
    return Sa2VAConfig(**settings) if family is None else QwenSa2VAConfig(family, **settings)


def read_config(folder: Path) -> Sa2VAConfig | QwenSa2VAConfig:
    """Read `config.json` of an official folder, running none of the folder's code.

    Raises UserError where the folder, the file or a setting is not one of a supported Sa2VA model.
    """
    settings = read_json(Path(folder) / "config.json")
    if not isinstance(settings, dict) or settings.get("model_type") != Sa2VAConfig.model_type:
        raise UserError(
            f"{folder}/config.json: model_type is not sa2va_chat; give a Sa2VA Hugging Face folder."
        )
    with describing_a_model(str(folder)):
        return config_of(settings)


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
