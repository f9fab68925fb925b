"""A batch of images and prompts through the model, to answers and masks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from refvessel.model.modeling import Answer, Masks, Sa2VAModel, upsample_logits
from refvessel.model.processing import ProcessedImage, Sa2VAProcessor, normalise

_LARGEST_LOGIT = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Segmentation:
    """The answer to one prompt.

    answer: generated text, special tokens included.
    masks: bool (number of [SEG], height, width), at the image's own size.
    scores: SAM2's predicted IoU of each mask.
    logits: float16 (number of [SEG], size/4, size/4), what the masks were upsampled and thresholded from.
    """

    answer: str
    masks: np.ndarray
    scores: list[float]
    logits: np.ndarray


class Segmenter:
    """Runs a model over batches.

    Args:
        model: on its device, in its dtype, in evaluation mode.
        processor: the model's processor.
        max_new_tokens: the longest answer.
    """

    def __init__(self, model: Sa2VAModel, processor: Sa2VAProcessor, max_new_tokens: int = 2048) -> None:
        self._model = model
        self._processor = processor
        self._max_new_tokens = max_new_tokens

    @torch.inference_mode()
    def segment(
        self, images: Sequence[ProcessedImage], prompts: Sequence[Sequence[str]]
    ) -> list[list[Segmentation]]:
        """Answer every prompt of every image; prompts may differ in number and length from image to image.

        Raises:
            UserError: for a prompt without `<image>`.
            ArithmeticError: where mask logits are not finite.
        """
        owners = [image for image, mine in enumerate(prompts) for _ in mine]
        answers = self._answers(images, owners, [prompt for mine in prompts for prompt in mine])
        masks = self._masks(images, owners, answers)
        grouped: list[list[Segmentation]] = [[] for _ in images]
        for owner, answer, of_answer in zip(owners, answers, masks, strict=True):
            grouped[owner].append(Segmentation(self._processor.answer_text(answer.token_ids), *of_answer))
        return grouped

    def _answers(
        self, images: Sequence[ProcessedImage], owners: list[int], prompts: list[str]
    ) -> list[Answer]:
        token_ids = [
            self._processor.prompt_ids(prompt, len(images[owner].tiles))
            for owner, prompt in zip(owners, prompts, strict=True)
        ]
        input_ids, attention_mask = _pad_left(token_ids, self._model.device)
        tiles = self._model.embed_tiles(self._to_device([image.tiles for image in images], np.concatenate))
        of_image = tiles.split([len(image.tiles) for image in images])
        image_embeds = torch.cat([of_image[owner].flatten(0, 1) for owner in owners])
        return self._model.answer(
            self._model.embed_prompts(input_ids, image_embeds, self._processor.image_token_id),
            attention_mask,
            seg_token_id=self._processor.seg_token_id,
            stop_token_ids=self._processor.stop_token_ids,
            max_new_tokens=self._max_new_tokens,
        )

    def _masks(
        self, images: Sequence[ProcessedImage], owners: list[int], answers: list[Answer]
    ) -> list[tuple[np.ndarray, list[float], np.ndarray]]:
        counts = [len(answer.seg_states) for answer in answers]
        if not any(counts):
            return [self._no_masks(images[owner]) for owner in owners]
        # Only images that some answer segments go through SAM2, each once.
        used = sorted({owner for owner, count in zip(owners, counts, strict=True) if count})
        features = self._model.encode_images(
            self._to_device([images[image].whole for image in used], np.stack)
        )
        index = [used.index(owner) for owner, count in zip(owners, counts, strict=True) for _ in range(count)]
        states = torch.cat([answer.seg_states for answer in answers])
        masks = self._model.decode_masks(features.of(torch.tensor(index, device=states.device)), states)
        if not torch.isfinite(masks.logits).all():
            raise ArithmeticError("the mask logits are not finite")
        return [
            self._at_image_size(masks, start, count, images[owner])
            for start, count, owner in zip(np.cumsum([0, *counts[:-1]]), counts, owners, strict=True)
        ]

    def _at_image_size(
        self, masks: Masks, start: int, count: int, image: ProcessedImage
    ) -> tuple[np.ndarray, list[float], np.ndarray]:
        if count == 0:
            return self._no_masks(image)
        rows = slice(start, start + count)
        size = self._model.grounding_encoder.image_size
        logits = upsample_logits(masks.logits[rows], size, image.height, image.width)
        return (
            (logits.sigmoid() > 0.5).cpu().numpy(),
            masks.iou_scores[rows].amax(-1).tolist(),
            masks.logits[rows].clamp(-_LARGEST_LOGIT, _LARGEST_LOGIT).half().cpu().numpy(),
        )

    def _no_masks(self, image: ProcessedImage) -> tuple[np.ndarray, list[float], np.ndarray]:
        side = self._model.grounding_encoder.image_size // 4
        return np.zeros((0, image.height, image.width), bool), [], np.zeros((0, side, side), np.float16)

    def _to_device(self, arrays: list[np.ndarray], join) -> torch.Tensor:
        pixels = torch.from_numpy(join(arrays)).to(self._model.device)
        return normalise(pixels, self._model.dtype)


def _pad_left(sequences: list[list[int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask, int64 (prompts, length); padding comes first, so answers start together."""
    length = max(map(len, sequences))
    input_ids = torch.zeros(len(sequences), length, dtype=torch.int64)
    attention_mask = torch.zeros_like(input_ids)
    for row, sequence in enumerate(sequences):
        input_ids[row, length - len(sequence) :] = torch.tensor(sequence)
        attention_mask[row, length - len(sequence) :] = 1
    return input_ids.to(device), attention_mask.to(device)
