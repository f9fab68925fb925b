"""A batch of images and prompts through the model, to answers and masks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from refvessel.model.decoding import Answer, Stopping
from refvessel.model.modeling import Masks, Sa2VAModel, upsample_logits
from refvessel.model.packing import PackedPrompts, pack_prompts
from refvessel.model.processing import ProcessedImage, Sa2VAProcessor, normalise

DRAFT = "Sure, [SEG]."  # what a trained model answers nearly always
_ROUND_LENGTH = 16  # tokens; GPU kernels like row lengths that are a multiple
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


@dataclass(frozen=True)
class Launched:
    """A batch whose last kernels may still be running, its tensors on their way to the host.

    owners: the image of each prompt.
    masks: of each prompt, bool (number of [SEG], height, width).
    scores: of each prompt, float32 (number of [SEG],).
    logits: of each prompt, float16 (number of [SEG], size/4, size/4).
    finite: bool, whether all logits are.
    done: recorded behind all of these; None on the CPU.
    """

    num_images: int
    owners: list[int]
    answers: list[Answer]
    masks: list[torch.Tensor]
    scores: list[torch.Tensor]
    logits: list[torch.Tensor]
    finite: torch.Tensor
    done: torch.cuda.Event | None


class Segmenter:
    """Runs a model over batches.

    Args:
        model: in its dtype, in evaluation mode.
        processor: the model's processor.
        max_new_tokens: the longest answer.
        draft: the expected answer; a wrong one costs time but changes no answer. None decodes plainly.
    """

    def __init__(
        self,
        model: Sa2VAModel,
        processor: Sa2VAProcessor,
        max_new_tokens: int = 2048,
        draft: str | None = DRAFT,
    ) -> None:
        self._model = model
        self._processor = processor
        self._stopping = Stopping(processor.stop_token_ids, max_new_tokens)
        self._draft = processor.answer_ids(draft) if draft else []
        self._on_gpu = model.device.type == "cuda"

    def segment(
        self, images: Sequence[ProcessedImage], prompts: Sequence[Sequence[str]]
    ) -> list[list[Segmentation]]:
        """Answer every prompt of every image; prompts may differ in number and length from image to image.

        Raises:
            UserError: for a prompt without `<image>`.
            ArithmeticError: where mask logits are not finite.
        """
        return self.finish(self.launch(images, prompts))

    @torch.inference_mode()
    def launch(self, images: Sequence[ProcessedImage], prompts: Sequence[Sequence[str]]) -> Launched:
        """Begin what `finish` completes; on a GPU, the next batch can be launched in between."""
        owners = [image for image, mine in enumerate(prompts) for _ in mine]
        answers = self._answers(images, prompts)
        counts = [len(answer.seg_states) for answer in answers]
        found = self._decode(images, owners, answers)
        logits = found.logits.split(counts)
        masks = [self._at_image_size(mine, images[owner]) for mine, owner in zip(logits, owners, strict=True)]
        halves = found.logits.clamp(-_LARGEST_LOGIT, _LARGEST_LOGIT).half()
        launched = Launched(
            num_images=len(images),
            owners=owners,
            answers=answers,
            masks=[self._to_host(each) for each in masks],
            scores=self._to_host(found.iou_scores.amax(-1)).split(counts),
            logits=self._to_host(halves).split(counts),
            finite=self._to_host(torch.isfinite(found.logits).all()),
            done=torch.cuda.Event() if self._on_gpu else None,
        )
        if launched.done is not None:
            launched.done.record()
        return launched

    def finish(self, launched: Launched) -> list[list[Segmentation]]:
        """Wait for a launched batch; the answers of each image, in the order of its prompts."""
        if launched.done is not None:
            launched.done.synchronize()
        if not launched.finite:
            raise ArithmeticError("the mask logits are not finite")
        grouped: list[list[Segmentation]] = [[] for _ in range(launched.num_images)]
        for owner, answer, masks, scores, logits in zip(
            launched.owners, launched.answers, launched.masks, launched.scores, launched.logits, strict=True
        ):
            text = self._processor.answer_text(answer.token_ids)
            grouped[owner].append(Segmentation(text, masks.numpy(), scores.tolist(), logits.numpy()))
        return grouped

    def _answers(self, images: Sequence[ProcessedImage], prompts: Sequence[Sequence[str]]) -> list[Answer]:
        processor = self._processor
        token_ids = [
            [processor.prompt_ids(prompt, len(image.tiles)) for prompt in mine]
            for image, mine in zip(images, prompts, strict=True)
        ]
        multiple = _ROUND_LENGTH if self._on_gpu else 1
        packed = pack_prompts(token_ids, self._draft, device=self._model.device, multiple=multiple)
        tiles = self._model.embed_tiles(self._to_device([image.tiles for image in images]))
        of_image = [each.flatten(0, 1) for each in tiles.split([len(image.tiles) for image in images])]
        return self._model.answer(
            packed,
            self._as_often_as_shown(of_image, packed),
            image_token_id=processor.image_token_id,
            seg_token_id=processor.seg_token_id,
            stopping=self._stopping,
        )

    def _as_often_as_shown(self, of_image: list[torch.Tensor], packed: PackedPrompts) -> torch.Tensor:
        """The image tokens in the rows' order; once an image, where its prompts share their beginning."""
        places = (packed.input_ids == self._processor.image_token_id).sum(-1).tolist()
        return torch.cat(
            [each for each, count in zip(of_image, places, strict=True) for _ in range(count // len(each))]
        )

    def _decode(self, images: Sequence[ProcessedImage], owners: list[int], answers: list[Answer]) -> Masks:
        """The masks of all answers, one after the other."""
        index = [
            owner
            for owner, answer in zip(owners, answers, strict=True)
            for _ in range(len(answer.seg_states))
        ]
        if not index:
            return self._model.no_masks()
        used = sorted(set(index))  # only images that some answer segments go through SAM2, each once
        features = self._model.encode_images(self._to_device([images[image].whole[None] for image in used]))
        states = torch.cat([answer.seg_states for answer in answers])
        position = torch.tensor([used.index(image) for image in index], device=states.device)
        return self._model.decode_masks(features.of(position), states)

    def _at_image_size(self, logits: torch.Tensor, image: ProcessedImage) -> torch.Tensor:
        if not len(logits):
            return torch.zeros(0, image.height, image.width, dtype=torch.bool)
        size = self._model.grounding_encoder.image_size
        return upsample_logits(logits, size, image.height, image.width).sigmoid() > 0.5

    def _to_device(self, arrays: Sequence[np.ndarray]) -> torch.Tensor:
        """Normalised pixels of uint8 arrays (count, 3, height, width), one after the other."""
        count = sum(map(len, arrays))
        pixels = torch.empty(count, *arrays[0].shape[1:], dtype=torch.uint8, pin_memory=self._on_gpu)
        np.concatenate(arrays, out=pixels.numpy())
        return normalise(pixels.to(self._model.device, non_blocking=True), self._model.dtype)

    def _to_host(self, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.device.type == "cpu":
            return tensor
        host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)  # else the copy would wait
        return host.copy_(tensor, non_blocking=True)
