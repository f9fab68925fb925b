"""Sa2VA of the InternVL kind: transformers' own parts, and the three things between them.

tiles ---> InternViT ---> pixel shuffle, projector ---> language model ---> answer, [SEG] states
image ---> SAM2 image encoder ------------------------> mask decoder <----- text_hidden_fcs
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import torch
from safetensors import SafetensorError
from torch import nn
from torch.nn import functional
from transformers import (
    AutoModelForCausalLM,
    PreTrainedModel,
    Sam2VideoModel,
)
from transformers.models.internvl.modeling_internvl import InternVLMultiModalProjector

from refvessel.errors import UserError
from refvessel.files import require_free_space
from refvessel.model.configuration import Sa2VAConfig, read_config
from refvessel.model.decoding import Answer, Prefill, Stopping, complete, prefill
from refvessel.model.hiera import ImageEncoder
from refvessel.model.internvit import internvit
from refvessel.model.isolation import weights_alone
from refvessel.model.language import LanguageModel
from refvessel.model.packing import PackedPrompts
from refvessel.model.placement import Spreading, bring_results_back, bytes_on_disk, place
from refvessel.model.processing import Normalisation
from refvessel.model.quantisation import LANGUAGE_WEIGHTS, quantise_linear_layers
from refvessel.model.weights import made_on_loading, official_names, tensor_problems


@dataclass(frozen=True)
class ImageFeatures:
    """SAM2's features of a batch of images.

    embedding: (images, hidden, size/16, size/16), the no-memory embedding added.
    high_resolution: (images, hidden/8, size/4, size/4) and (images, hidden/4, size/8, size/8).
    """

    embedding: torch.Tensor
    high_resolution: tuple[torch.Tensor, torch.Tensor]

    def of(self, images: torch.Tensor | slice) -> "ImageFeatures":
        """The features of the images with these indices, in this order."""
        fine, middle = self.high_resolution
        return ImageFeatures(self.embedding[images], (fine[images], middle[images]))


@dataclass(frozen=True)
class Masks:
    """The best of the decoder's three masks for each prompt.

    logits: float32 (prompts, size/4, size/4).
    iou_scores: float32 (prompts, 3), the predicted IoU of all three.
    """

    logits: torch.Tensor
    iou_scores: torch.Tensor


class Sa2VAModel(PreTrainedModel):
    """A whole Sa2VA; `load` reads an official Hugging Face folder.

    Attributes:
        normalise: makes pixels what `embed_tiles` and `encode_images` take.
        language: reads and answers prompts by `language_model`.
        image_encoder: that of `grounding_encoder`.
    """

    config_class = Sa2VAConfig
    base_model_prefix = ""
    main_input_name = "input_ids"
    _supports_sdpa = True
    _no_split_modules = ["Sam2MultiScaleBlock"]  # noqa: RUF012  (to which transformers adds those of the parts)
    _keep_in_fp32_modules_strict = {"shared_image_embedding"}  # noqa: RUF012  (positions, up to 2 pi times a few)
    _tied_weights_keys = {  # noqa: RUF012
        "grounding_encoder.prompt_encoder.shared_embedding.positional_embedding": (
            "grounding_encoder.shared_image_embedding.positional_embedding"
        )
    }

    def __init__(self, config: Sa2VAConfig, language_weights: str | None = None) -> None:
        super().__init__(config)
        sam2 = config.sam2_config()
        vision: Any = sam2.vision_config
        hidden_size = config.llm_config.hidden_size
        self.vision_model = internvit(config.vision_config)
        self.multi_modal_projector = InternVLMultiModalProjector(config.projector_config())
        self.language_model = AutoModelForCausalLM.from_config(config.llm_config)
        if language_weights:
            quantise_linear_layers(self.language_model.model.layers, LANGUAGE_WEIGHTS[language_weights])
        self.text_hidden_fcs = nn.Sequential(
            nn.Linear(hidden_size, hidden_size),
            nn.ReLU(inplace=True),
            nn.Linear(hidden_size, vision.fpn_hidden_size),
        )
        self.grounding_encoder = Sam2VideoModel(sam2)
        self.grounding_encoder.prompt_encoder.shared_embedding = self.grounding_encoder.shared_image_embedding
        self.normalise = Normalisation()
        self.language = LanguageModel(self.language_model)
        narrow = self.grounding_encoder.mask_decoder.conv_s0, self.grounding_encoder.mask_decoder.conv_s1
        self.image_encoder = ImageEncoder(self.grounding_encoder.vision_encoder, narrow)
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
            dtype: torch.float32 or torch.bfloat16.
            device: where the weights go, straight from the file.
            spreading: where they go instead, if not to one device.
            language_weights: int8 or float8 for those of the language model's linear layers; None: in `dtype`.

        Raises:
            UserError: for a tensor that is missing, not of this model, or of another shape; for too little memory.
        """
        config = read_config(folder)
        weights = weights_alone(folder)
        device_map: dict[str, Any] = {"": torch.device(device)}
        if spreading:
            device_map = cls._spread(config, dtype, spreading, language_weights)
        try:
            with official_names(config.llm_config, language_weights):
                loaded: Any = cls.from_pretrained(
                    weights.name,
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
        except (OSError, SafetensorError) as error:
            remedy = "restore them, or make room for what is offloaded" if spreading else "restore them"
            raise UserError(f"{folder}: the weights cannot be read ({error}); {remedy}.") from None
        model: Sa2VAModel
        model, report = loaded
        if problems := tensor_problems(report, config.architecture):
            raise UserError(f"{folder} does not hold the model that its config.json describes: {problems}.")
        model.weights_alone = weights
        if len(device_map) > 1:
            bring_results_back(model)
        return model.eval()

    @classmethod
    def _spread(
        cls, config: Sa2VAConfig, dtype: torch.dtype, spreading: Spreading, language_weights: str | None
    ) -> dict[str, int | str]:
        """The device map; raises UserError where the memory or the disk has too little room."""
        with torch.device("meta"):
            model = cls(config, language_weights)
        device_map = place(model, dtype, spreading.max_memory)
        names = made_on_loading(model.state_dict(), config.architecture, language_weights)
        require_free_space(spreading.offload_folder, bytes_on_disk(model, dtype, device_map, names))
        return device_map

    @property
    def device(self) -> torch.device:
        """Where images, prompts and masks are: SAM2's device, even where other parts lie elsewhere."""
        return self.grounding_encoder.no_memory_embedding.device

    @property
    def image_size(self) -> int:
        """The side of SAM2's square input, in pixels."""
        return cast("int", self.grounding_encoder.image_size)

    def embed_tiles(self, tiles: torch.Tensor) -> torch.Tensor:
        """Image tokens of normalised tiles: (tiles, 3, side, side) to (tiles, tokens, hidden size)."""
        patches = self.vision_model(tiles).last_hidden_state[:, 1:]  # without the class token
        return self.multi_modal_projector(_pixel_shuffle(patches))

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

    def read_prompts(
        self, prompts: PackedPrompts, image_embeds: torch.Tensor, image_token_id: int
    ) -> Prefill:
        """Read packed prompts and their draft; `answers` makes answers of it.

        Args:
            prompts: the packed prompts and their draft, on the model's device.
            image_embeds: as `embed_prompts` takes them.
            image_token_id: the token that stands for one image token.
        """
        embeds = self.embed_prompts(prompts.input_ids, image_embeds, image_token_id)
        return prefill(self.language, embeds, prompts)

    def answers(self, prefilled: Prefill, *, seg_token_id: int, stopping: Stopping) -> list[Answer]:
        """The greedy answer to each prompt that was read, in order.

        Args:
            prefilled: what `read_prompts` returned.
            seg_token_id: the token whose states are kept.
            stopping: when an answer is over.

        Raises ArithmeticError where the language model's logits are not finite.
        """
        return complete(self.language, prefilled, seg_token_id=seg_token_id, stopping=stopping)

    def uncompiled(self) -> AbstractContextManager[object]:
        """Where shapes occur that are too rare to be compiled for."""
        return self.language.uncompiled()

    def encode_images(self, images: torch.Tensor) -> ImageFeatures:
        """SAM2's features of normalised images: (images, 3, size, size)."""
        sam2 = self.grounding_encoder
        coarse, fine = self.image_encoder.encode(images)
        return ImageFeatures(coarse + sam2.no_memory_embedding.reshape(1, -1, 1, 1), fine)

    def decode_masks(self, features: ImageFeatures, seg_states: torch.Tensor) -> Masks:
        """The mask of each [SEG] state.

        Args:
            features: of as many images as there are states, one each.
            seg_states: (prompts, language hidden size).
        """
        # A CPU's caches hold what belongs to one prompt, but not to many.
        pieces = _one_by_one(len(seg_states)) if seg_states.is_cpu else [slice(None)]
        parts = [self.decode_all_masks(features.of(piece), seg_states[piece]) for piece in pieces]
        logits, iou_scores = (torch.cat(part) for part in zip(*parts, strict=True))
        best = iou_scores.argmax(-1)
        return Masks(logits[torch.arange(len(best), device=best.device), best], iou_scores)

    def no_masks(self) -> Masks:
        """What `decode_masks` gives for no states at all."""
        side = self.image_size // 4
        return Masks(torch.zeros(0, side, side), torch.zeros(0, 3))

    def decode_all_masks(
        self, features: ImageFeatures, seg_states: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """All three masks of each [SEG] state, and their predicted IoU.

        Returns:
            float32 (prompts, 3, size/4, size/4) and float32 (prompts, 3)
        """
        sam2 = self.grounding_encoder
        prompts = self.text_hidden_fcs(seg_states).unsqueeze(1)  # (prompts, 1, hidden)
        # SAM2 pads an absent point prompt to two "not a point" embeddings.
        absent = sam2.prompt_encoder.not_a_point_embed.weight.expand(len(prompts), 2, -1)
        sparse = torch.cat([absent, prompts], dim=1)  # (prompts, 3, hidden)
        dense = sam2.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1).expand_as(features.embedding)
        positions = sam2.get_image_wide_positional_embeddings().to(features.embedding.dtype)
        logits, iou_scores, _, _ = sam2.mask_decoder(
            image_embeddings=features.embedding,
            image_positional_embeddings=positions.repeat(len(prompts), 1, 1, 1),
            sparse_prompt_embeddings=sparse.unsqueeze(1),  # one prompt per image
            dense_prompt_embeddings=dense,
            multimask_output=True,
            high_resolution_features=list(features.high_resolution),
        )
        return logits[:, 0].float(), iou_scores[:, 0].float()


def upsample_logits(logits: torch.Tensor, image_size: int, height: int, width: int) -> torch.Tensor:
    """Mask logits at the image's own size: first to SAM2's square, then to the image, bilinear both times.

    Args:
        logits: float32 (masks, size/4, size/4).
        image_size: SAM2's input side, in pixels.
        height: of the image, in pixels.
        width: of the image, in pixels.

    Returns:
        float32 (masks, height, width)
    """
    square = functional.interpolate(logits[:, None], size=(image_size, image_size), mode="bilinear")
    return functional.interpolate(square, size=(height, width), mode="bilinear")[:, 0]


def _one_by_one(count: int) -> list[slice]:
    return [slice(number, number + 1) for number in range(count)]


def _pixel_shuffle(patches: torch.Tensor) -> torch.Tensor:
    """Four neighbouring patches become one token: (tiles, side^2, c) to (tiles, (side/2)^2, 4c).

    InternVL's version 2: within a token the channels run over the two columns of each of the two rows.
    """
    tiles, count, channels = patches.shape
    side = int(count**0.5)
    blocks = patches.reshape(tiles, side // 2, 2, side // 2, 2, channels)  # (T, row, 2, column, 2, c)
    return blocks.permute(0, 1, 3, 2, 4, 5).reshape(tiles, count // 4, 4 * channels)
