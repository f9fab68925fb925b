"""A batch of images and prompts through the model, to answers and masks."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from refvessel.inference.drafts import Drafts
from refvessel.model.decoding import Answer, Prefill, Stopping
from refvessel.model.modeling import ImageFeatures, Masks, Sa2VAModel, upsample_logits
from refvessel.model.packing import PackedPrompts, pack_prompts
from refvessel.model.processing import ProcessedImage, Sa2VAProcessor, normalise
from refvessel.model.transfer import Arriving, to_device

ROUND_LENGTH = 8  # tokens; GPU kernels like row lengths that are a multiple
_LARGEST_LOGIT = float(np.finfo(np.float16).max)
_PROMPTS_KEPT = 4096  # token ids of so many questions and tile counts


@dataclass(frozen=True)
class Segmentation:
    """The answer to one prompt.

    answer: generated text, special tokens included.
    masks: bool (number of [SEG], height, width), at the image's own size.
    scores: SAM2's predicted IoU of each mask.
    logits: float16 (number of [SEG], size/4, size/4), what the masks were upsampled and thresholded from.
    drafted: whether the answer was foreseen, and so verified in one pass.
    """

    answer: str
    masks: np.ndarray
    scores: list[float]
    logits: np.ndarray
    drafted: bool = False


@dataclass(frozen=True)
class Begun:
    """A batch that the encoders and the language model read; on a GPU they may still be running.

    images: of the batch.
    owners: the image of each prompt, by its number.
    prefill: of all prompts.
    features: SAM2's, of all images; None where they are made of those images only that some answer segments.
    """

    images: Sequence[ProcessedImage]
    owners: list[int]
    prefill: Prefill
    features: ImageFeatures | None


@dataclass(frozen=True)
class Launched:
    """A batch whose last kernels may still be running, its tensors on their way to the host.

    owners: the image of each prompt.
    masks: of each prompt, bool (number of [SEG], width, height): run lengths run down the columns.
    others: of all [SEG] one after the other, their scores, float32 (number,), and their logits, float16
        (number, size/4, size/4); and bool, whether all logits are finite.
    """

    num_images: int
    owners: list[int]
    answers: list[Answer]
    masks: Arriving
    others: Arriving


class Segmenter:
    """Runs a model over batches.

    Args:
        model: in its dtype, in evaluation mode.
        processor: the model's processor.
        max_new_tokens: the longest answer.
        drafts: what answers are expected; a wrong guess costs time but changes no answer. None decodes plainly.
    """

    def __init__(
        self,
        model: Sa2VAModel,
        processor: Sa2VAProcessor,
        max_new_tokens: int = 2048,
        drafts: Drafts | None = None,
    ) -> None:
        self._model = model
        self._processor = processor
        self._stopping = Stopping(processor.stop_token_ids, max_new_tokens)
        self._drafts = drafts
        self._prompt_ids = lru_cache(_PROMPTS_KEPT)(processor.prompt_ids)
        self._on_gpu = model.device.type == "cuda"
        self._beside = torch.cuda.Stream(model.device) if self._on_gpu else None
        if self._beside:  # the weights have to be there
            self._beside.wait_stream(torch.cuda.current_stream(model.device))

    def segment(
        self, images: Sequence[ProcessedImage], prompts: Sequence[Sequence[str]]
    ) -> list[list[Segmentation]]:
        """Answer every prompt of every image; prompts may differ in number and length from image to image.

        Raises:
            UserError: for a prompt without `<image>`.
            ArithmeticError: where logits are not finite.
        """
        return self.finish(self.answer(self.begin(images, prompts)))

    @torch.inference_mode()
    def begin(self, images: Sequence[ProcessedImage], prompts: Sequence[Sequence[str]]) -> Begun:
        """Begin what `answer` goes on with; the host waits for nothing.

        A GPU is never idle where the next batch is begun before one is answered.
        """
        owners = [image for image, mine in enumerate(prompts) for _ in mine]
        features = self._encode_beside(images) if self._beside else None
        return Begun(images, owners, self._read(images, prompts), features)

    @torch.inference_mode()
    def answer(self, begun: Begun) -> Launched:
        """Go on with what `finish` completes; the host waits for the language model's choices only."""
        images, owners = begun.images, begun.owners
        answers = self._model.answers(
            begun.prefill, seg_token_id=self._processor.seg_token_id, stopping=self._stopping
        )
        found = self._decode(images, owners, answers, begun.features)
        if self._drafts:
            self._drafts.observe(answer.token_ids for answer in answers)
        masks = [
            self._at_image_size(mine, images[owner]).mT.contiguous()
            for mine, owner in zip(found.logits.split(_counts(answers)), owners, strict=True)
        ]
        halves = found.logits.clamp(-_LARGEST_LOGIT, _LARGEST_LOGIT).half()
        return Launched(
            num_images=len(images),
            owners=owners,
            answers=answers,
            masks=Arriving(*masks),
            others=Arriving(found.iou_scores.amax(-1), halves, torch.isfinite(found.logits).all()),
        )

    def finish(self, launched: Launched) -> list[list[Segmentation]]:
        """Wait for a launched batch; the answers of each image, in the order of its prompts."""
        scores, logits, finite = launched.others.wait()
        if not finite:
            raise ArithmeticError("the mask logits are not finite")
        counts = _counts(launched.answers)
        grouped: list[list[Segmentation]] = [[] for _ in range(launched.num_images)]
        for owner, answer, masks, score, mine in zip(
            launched.owners,
            launched.answers,
            launched.masks.wait(),
            scores.split(counts),
            logits.split(counts),
            strict=True,
        ):
            text = self._processor.answer_text(answer.token_ids)
            grouped[owner].append(
                Segmentation(text, masks.mT.numpy(), score.tolist(), mine.numpy(), answer.drafted)
            )
        return grouped

    def _read(self, images: Sequence[ProcessedImage], prompts: Sequence[Sequence[str]]) -> Prefill:
        token_ids = [
            [self._prompt_ids(prompt, len(image.tiles)) for prompt in mine]
            for image, mine in zip(images, prompts, strict=True)
        ]
        draft = self._drafts.likeliest() if self._drafts else []
        packed = pack_prompts(token_ids, draft, multiple=ROUND_LENGTH if self._on_gpu else 1)
        tiles = self._model.embed_tiles(self._pixels([image.tiles for image in images]))
        of_image = [each.flatten(0, 1) for each in tiles.split([len(image.tiles) for image in images])]
        return self._model.read_prompts(
            packed.on(self._model.device),
            self._as_often_as_shown(of_image, packed),
            self._processor.image_token_id,
        )

    def _as_often_as_shown(self, of_image: list[torch.Tensor], packed: PackedPrompts) -> torch.Tensor:
        """The image tokens in the rows' order; once an image, where its prompts share their beginning."""
        places = (packed.input_ids == self._processor.image_token_id).sum(-1).tolist()
        return torch.cat(
            [each for each, count in zip(of_image, places, strict=True) for _ in range(count // len(each))]
        )

    def _encode_beside(self, images: Sequence[ProcessedImage]) -> ImageFeatures:
        """SAM2's features, on a stream of their own: much of them waits for memory, and the rest for products."""
        main = torch.cuda.current_stream(self._model.device)
        with torch.cuda.stream(self._beside):
            features = self._model.encode_images(self._pixels([image.whole[None] for image in images]))
        for tensor in (features.embedding, *features.high_resolution):
            tensor.record_stream(main)
        return features

    def _decode(
        self,
        images: Sequence[ProcessedImage],
        owners: list[int],
        answers: list[Answer],
        features: ImageFeatures | None,
    ) -> Masks:
        """The masks of all answers, one after the other; of the images' features, where they are known."""
        index = [owner for owner, count in zip(owners, _counts(answers), strict=True) for _ in range(count)]
        if not index:
            return self._model.no_masks()
        encoded = [*range(len(images))]
        if features is None:  # only what some answer segments
            encoded = sorted(set(index))
            features = self._model.encode_images(
                self._pixels([images[image].whole[None] for image in encoded])
            )
        else:
            torch.cuda.current_stream(self._model.device).wait_stream(self._beside)
        states = torch.cat([answer.seg_states for answer in answers])
        position = torch.tensor([encoded.index(image) for image in index])
        return self._model.decode_masks(features.of(to_device(position, states.device)), states)

    def _at_image_size(self, logits: torch.Tensor, image: ProcessedImage) -> torch.Tensor:
        if not len(logits):
            return torch.zeros(0, image.height, image.width, dtype=torch.bool)
        size = self._model.grounding_encoder.image_size
        return upsample_logits(logits, size, image.height, image.width).sigmoid() > 0.5

    def _pixels(self, parts: Sequence[torch.Tensor]) -> torch.Tensor:
        """Normalised pixels on the device of uint8 tensors (count, 1 or 3, height, width), one after the other."""
        device, channels = self._model.device, max(part.shape[1] for part in parts)
        moved = [to_device(part, device).expand(-1, channels, -1, -1) for part in parts]
        return normalise(torch.cat(moved), self._model.dtype)


def _counts(answers: Sequence[Answer]) -> list[int]:
    """The number of masks of each answer."""
    return [len(answer.seg_states) for answer in answers]
