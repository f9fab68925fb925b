"""The part that all families share: SAM2, and what leads from a language model's state to a mask.

image ---> SAM2 image encoder ---> mask decoder <--- text_hidden_fcs <--- [SEG] state
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional
from transformers.modeling_utils import PreTrainedModel
from transformers.models.sam2_video.configuration_sam2_video import Sam2VideoConfig
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoModel

from refvessel.model.hiera import ImageEncoder, Windows
from refvessel.model.transfer import to_device


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


class GroundedModel(PreTrainedModel):
    """A model with SAM2 behind it; who builds it calls `_add_grounding`.

    Attributes:
        image_encoder: that of `grounding_encoder`.
    """

    _no_split_modules = ["Sam2MultiScaleBlock"]  # noqa: RUF012  (to which transformers adds those of the parts)
    # Of a model in float16: its range is too small for SAM2.
    _keep_in_fp32_modules = ["grounding_encoder", "text_hidden_fcs"]  # noqa: RUF012
    _keep_in_fp32_modules_strict = {"shared_image_embedding"}  # noqa: RUF012  (positions, up to 2 pi times a few)
    _tied_weights_keys = {  # noqa: RUF012
        "grounding_encoder.prompt_encoder.shared_embedding.positional_embedding": (
            "grounding_encoder.shared_image_embedding.positional_embedding"
        )
    }

    def _add_grounding(self, sam2: Sam2VideoConfig, hidden_size: int) -> None:
        """SAM2, and the layers from a language model of this hidden size to it."""
        vision: Any = sam2.vision_config
        self.text_hidden_fcs = nn.Sequential(
            nn.Linear(hidden_size, hidden_size),
            nn.ReLU(inplace=True),
            nn.Linear(hidden_size, vision.fpn_hidden_size),
        )
        self.grounding_encoder = Sam2VideoModel(sam2)
        self.grounding_encoder.prompt_encoder.shared_embedding = self.grounding_encoder.shared_image_embedding
        narrow = self.grounding_encoder.mask_decoder.conv_s0, self.grounding_encoder.mask_decoder.conv_s1
        self.image_encoder = ImageEncoder(self.grounding_encoder.vision_encoder, narrow)

    @property
    def device(self) -> torch.device:
        """Where images, prompts and masks are: SAM2's device, even where other parts lie elsewhere."""
        return self.grounding_encoder.no_memory_embedding.device

    @property
    def grounding_dtype(self) -> torch.dtype:
        """SAM2's precision: that of the model, but float32 in a model of float16."""
        return self.grounding_encoder.no_memory_embedding.dtype

    @property
    def image_size(self) -> int:
        """The side of SAM2's square input, in pixels."""
        return cast("int", self.grounding_encoder.image_size)

    def encode_images(self, images: torch.Tensor) -> ImageFeatures:
        """SAM2's features of normalised images: (images, 3, size, size)."""
        return self.features(self.image_encoder.look(images))

    def features(self, seen: Sequence[Sequence[Windows]]) -> ImageFeatures:
        """SAM2's features of images, of what its trunk saw in them (see `ImageEncoder.look`)."""
        coarse, fine = self.image_encoder.project(seen)
        no_memory = self.grounding_encoder.no_memory_embedding
        return ImageFeatures(coarse + no_memory.reshape(1, -1, 1, 1), fine)

    def decode_masks(
        self, features: ImageFeatures, seg_states: torch.Tensor, images: Sequence[int] | None = None
    ) -> Masks:
        """The mask of each [SEG] state.

        Args:
            features: of some images.
            seg_states: (prompts, language hidden size).
            images: the number of each state's image among the features; None: of as many images as states.
        """
        images = range(len(seg_states)) if images is None else images
        if (
            seg_states.is_cpu
        ):  # its caches hold what belongs to one prompt, but not to many; and nothing is copied
            parts = [
                self.decode_all_masks(features.of(slice(image, image + 1)), seg_states[number, None])
                for number, image in enumerate(images)
            ]
            logits, iou_scores = (torch.cat(part) for part in zip(*parts, strict=True))
        else:
            shown = features.of(to_device(torch.tensor([*images]), seg_states.device))
            logits, iou_scores = self.decode_all_masks(shown, seg_states)
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
        prompts = self.text_hidden_fcs(seg_states.to(self.grounding_dtype)).unsqueeze(
            1
        )  # (prompts, 1, hidden)
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
