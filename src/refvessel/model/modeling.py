"""A whole Sa2VA of any family: its parts, and the way between them.

pixels ---> image encoder of the family ---> language model ---> answer, [SEG] states
image ----> SAM2 image encoder ------------> mask decoder <----- text_hidden_fcs
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from refvessel.errors import UserError
from refvessel.files import require_free_space
from refvessel.model.configuration import Sa2VAConfig, read_config
from refvessel.model.decoding import Answer, Prefill, Stopping, complete, prefill
from refvessel.model.grounding import GroundedModel
from refvessel.model.image_tokens import ImageTokens, ImageView
from refvessel.model.internvl import TileEncoder
from refvessel.model.internvl import modules_of as internvl_modules
from refvessel.model.isolation import weight_files, weights_alone
from refvessel.model.language import LanguageModel
from refvessel.model.library import load_spreading
from refvessel.model.naming import QWEN3_VL
from refvessel.model.normalisation import IMAGENET, Normalisation, Statistics
from refvessel.model.packing import PackedPrompts
from refvessel.model.quantisation import FLOAT8_PRODUCTS, LANGUAGE_WEIGHTS, quantise_linear_layers
from refvessel.model.qwen_configuration import QwenSa2VAConfig
from refvessel.model.qwen_vision import PatchEncoder
from refvessel.model.shapes_alone import shapes_alone
from refvessel.model.spreading import Spreading
from refvessel.model.transfer import to_device
from refvessel.model.weights import made_on_loading, official_names, tensor_problems


class Sa2VAModel(GroundedModel):
    """A whole Sa2VA; `load` reads an official Hugging Face folder of any family.

    Attributes:
        vision: the family's image encoder, over `vision_model`.
        language: reads and answers prompts by `language_model`.
        normalise: makes pixels what the image encoders take.
    """

    config_class = Sa2VAConfig
    base_model_prefix = ""
    main_input_name = "input_ids"
    _supports_sdpa = True
    vision_model: Any  # the families' modules have attributes in common, but no type that says so
    language_model: Any

    def __init__(self, config: Sa2VAConfig | QwenSa2VAConfig, language_weights: str | None = None) -> None:
        super().__init__(config)
        for name, module in _modules_of(config).items():
            self.add_module(name, module)
        if language_weights:
            quantise_linear_layers(self.language_model.model.layers, LANGUAGE_WEIGHTS[language_weights])
        self._add_grounding(config.sam2_config(), config.llm_config.hidden_size)
        self.normalise = Normalisation()
        of_family = PatchEncoder if isinstance(config, QwenSa2VAConfig) else TileEncoder
        self.vision: TileEncoder | PatchEncoder = of_family(self, self._tiles)
        self.language = LanguageModel(self.language_model, normed=config.architecture != QWEN3_VL)
        if language_weights == FLOAT8_PRODUCTS:
            self.language.multiply_in_float8()
        # What is offloaded to the disk is read there as long as the model is used.
        self.weights_alone: TemporaryDirectory[str] | None = None
        self.post_init()

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        dtype: torch.dtype,
        device: torch.device | str = "cpu",
        spreading: Spreading | None = None,
        language_weights: str | None = None,
    ) -> "Sa2VAModel":
        """Load an official folder for inference, running none of its code.

        Args:
            folder: official Hugging Face folder (config.json and safetensors).
            dtype: torch.float32, torch.bfloat16, or torch.float16, which leaves SAM2 in float32.
            device: where the weights go, straight from the file.
            spreading: where they go instead, if not to one device.
            language_weights: of the language model's linear layers: int8, float8, or float8-products, which also
                rounds what they multiply; None: in `dtype`.

        Raises:
            UserError: for a tensor that is missing, not of this model, or of another shape; for too little memory.
        """
        config = read_config(folder)
        weights = weights_alone(folder)
        device_map: dict[str, Any] = {"": torch.device(device)}
        if spreading:
            device_map = cls._spread(config, dtype, spreading, language_weights)
        try:
            with (
                official_names(config.llm_config, language_weights),
                shapes_alone(),
                _source(Path(weights.name), torch.device(device), spreading) as source,
            ):
                loaded: Any = cls.from_pretrained(
                    **source,
                    config=config,
                    dtype=dtype,
                    device_map=device_map,
                    offload_folder=spreading and spreading.offload_folder,
                    local_files_only=True,
                    use_safetensors=True,
                    trust_remote_code=False,
                    ignore_mismatched_sizes=True,  # reported below, by name
                    output_loading_info=True,
                    language_weights=language_weights,
                )
        except torch.OutOfMemoryError:
            raise UserError(
                f"{folder}: the weights do not fit into the memory of {device}; set device_map: auto, or lower "
                "max_memory."
            ) from None
        except (OSError, ValueError, SafetensorError) as error:
            remedy = "restore them, or make room for what is offloaded" if spreading else "restore them"
            raise UserError(f"{folder}: the weights cannot be read ({error}); {remedy}.") from None
        model: Sa2VAModel
        model, report = loaded
        if problems := tensor_problems(report, config.architecture):
            raise UserError(f"{folder} does not hold the model that its config.json describes: {problems}.")
        model.weights_alone = weights
        if len(device_map) > 1:
            from refvessel.model.placement import bring_results_back  # loads what few models need

            bring_results_back(model, model.vision.called)
        return model.eval()

    @classmethod
    def _spread(
        cls,
        config: Sa2VAConfig | QwenSa2VAConfig,
        dtype: torch.dtype,
        spreading: Spreading,
        language_weights: str | None,
    ) -> dict[str, int | str]:
        """The device map; raises UserError where the memory or the disk has too little room."""
        from refvessel.model.placement import bytes_on_disk, place  # as above

        load_spreading()
        with torch.device("meta"), shapes_alone():
            model = cls(config, language_weights)
        device_map = place(model, dtype, spreading.max_memory)
        names = made_on_loading(model.state_dict(), config.architecture, language_weights)
        require_free_space(spreading.offload_folder, bytes_on_disk(model, dtype, device_map, names))
        return device_map

    def read_images(self, views: Sequence[ImageView]) -> list[ImageTokens]:
        """The image tokens of each view, for `read_prompts`."""
        return self.vision.encode(views)

    def pixels(
        self, parts: Sequence[torch.Tensor], dtype: torch.dtype, statistics: Statistics = IMAGENET
    ) -> torch.Tensor:
        """Normalised pixels on the model's device, one part after the other.

        Args:
            parts: uint8 (count, 1 or 3, height, width).
            dtype: of the result, (total count, 3, height, width).
            statistics: mean and deviation of each channel.
        """
        channels = max(part.shape[1] for part in parts)
        moved = [to_device(part, self.device).expand(-1, channels, -1, -1) for part in parts]
        return self.normalise(torch.cat(moved), dtype, statistics)

    def _tiles(self, views: Sequence[ImageView]) -> torch.Tensor:
        """Normalised tiles of views, one after the other."""
        return self.pixels([view.tiles for view in views], self.dtype, views[0].statistics)

    def embed_prompts(
        self, input_ids: torch.Tensor, image_embeds: torch.Tensor, image_token_id: int
    ) -> torch.Tensor:
        """Token embeddings with the images in their places.

        Args:
            input_ids: int64 (prompts, length).
            image_embeds: (image tokens of all prompts in order, hidden size).
            image_token_id: the token that stands for one image token.

        Returns:
            (prompts, length, hidden size)
        """
        embeds = self.language.embed(input_ids)
        places = (input_ids == image_token_id).unsqueeze(-1)
        return embeds.masked_scatter(places, image_embeds.to(embeds))

    def read_prompts(self, prompts: PackedPrompts, images: ImageTokens, image_token_id: int) -> Prefill:
        """Read packed prompts and their draft; `answers` makes answers of it.

        Args:
            prompts: the packed prompts and their draft, on the model's device.
            images: the image tokens of all prompts, in order.
            image_token_id: the token that stands for one image token.
        """
        embeds = self.embed_prompts(prompts.input_ids, images.tokens, image_token_id)
        places = (prompts.input_ids == image_token_id).unsqueeze(-1)
        added = [
            torch.zeros_like(embeds).masked_scatter(places, each.to(embeds)) for each in images.deepstack
        ]
        return prefill(self.language, embeds, prompts, added)

    def answers(self, prefilled: Prefill, *, seg_token_id: int, stopping: Stopping) -> list[Answer]:
        """The greedy answer to each prompt that was read, in order.

        Args:
            prefilled: what `read_prompts` returned.
            seg_token_id: the token whose states are kept.
            stopping: when an answer is over.

        Raises ArithmeticError where the language model's logits are not finite.
        """
        return complete(self.language, prefilled, seg_token_id=seg_token_id, stopping=stopping)

    def path(self, *, full: bool) -> str:
        """What computes a batch: `compiled` where it is full, else own `kernels` on a GPU, or `pytorch`."""
        if full and self.language.is_compiled:
            return "compiled"
        return "kernels" if self.device.type == "cuda" else "pytorch"

    def uncompiled(self) -> AbstractContextManager[object]:
        """Where shapes occur that are too rare to be compiled for."""
        return self.language.uncompiled()


def _modules_of(config: Sa2VAConfig | QwenSa2VAConfig) -> dict[str, nn.Module]:
    """The modules of the configuration's family, by their names in the model."""
    if isinstance(config, QwenSa2VAConfig):
        from refvessel.model.qwen_vl import modules_of  # loads the library's models of both of its families

        return modules_of(config)
    return internvl_modules(config)


def _source(
    weights: Path, device: torch.device, spreading: Spreading | None
) -> AbstractContextManager[dict[str, Any]]:
    """Where transformers finds the tensors: on one GPU they come through pinned memory, else from mapped files."""
    if device.type == "cuda" and not spreading:
        return _tensors(weights, device)
    return nullcontext({"pretrained_model_name_or_path": str(weights)})


@contextmanager
def _tensors(weights: Path, device: torch.device) -> Iterator[dict[str, Any]]:
    from refvessel.model.pinned_loading import tensors_on_disk  # what only a GPU needs

    with tensors_on_disk(weight_files(weights), device) as tensors:
        yield {"pretrained_model_name_or_path": None, "state_dict": tensors}
