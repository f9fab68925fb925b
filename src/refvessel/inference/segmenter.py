"""A batch of images and prompts through the model: encoded, decoded, collected.

encode   tiles and prompts through the language model, images through SAM2's encoder; the host waits for nothing
decode   answers, and the masks of their [SEG]; the host waits for the tokens that the language model chose
collect  the host waits for the masks
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from typing import Any

import numpy as np
import torch

from refvessel.inference.drafts import Drafts
from refvessel.inference.looks import Looks
from refvessel.inference.mask_texts import encode_masks
from refvessel.inference.official_masks import official_masks
from refvessel.inference.plan import ImageTask
from refvessel.model.compilation import compile_blocks
from refvessel.model.decoding import Answer, Prefill, Stopping
from refvessel.model.grounding import ImageFeatures, Masks
from refvessel.model.hiera import Windows
from refvessel.model.image_tokens import ImageTokens, ImageView, join_tokens
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.packing import PackedPrompts, pack_prompts
from refvessel.model.processing import ProcessedImage, Sa2VAProcessor
from refvessel.model.transfer import Arriving
from refvessel.rle import RLE, decode

ROUND_LENGTH = 8  # tokens; GPU kernels like row lengths that are a multiple
LARGEST_LOGIT = float(np.finfo(np.float16).max)
_PROMPTS_KEPT = 4096  # token ids of so many questions and layouts


@dataclass
class Batch:
    """Images that go through the model together, and what is known of them so far.

    images: as the encoders read them, until the batch is decoded.
    prompts: of each image.
    tasks: what is asked about each image; empty where only the answers are wanted.
    full: whether it has as many images as batches have; other shapes are too rare to be compiled for.
    prefill: of all prompts, from when the batch is encoded until it is decoded.
    features: SAM2's, of all images, likewise; None where they are made of those images only that some answer
        segments.
    answers: to all prompts, image by image.
    masks: of each answer, bool (number of [SEG], width, height), on the model's device, once the batch is
        decoded: run lengths run down the columns.
    others: of all [SEG] one after the other, on their way to the host: the predicted IoU of each candidate,
        float32 (number, 3), the logits, float16 (number, size/4, size/4); and bool, whether all logits are finite.
    """

    images: Sequence[ProcessedImage]
    prompts: Sequence[Sequence[str]]
    tasks: Sequence[ImageTask] = ()
    full: bool = True
    prefill: Prefill | None = None
    features: ImageFeatures | None = None
    answers: Sequence[Answer] = ()
    masks: Sequence[torch.Tensor] | None = None
    others: Arriving | None = None

    @property
    def owners(self) -> list[int]:
        """The image of each prompt, by its number."""
        return [image for image, mine in enumerate(self.prompts) for _ in mine]

    def let_go(self) -> None:
        """Free what was computed for `decode`, and the images."""
        self.images = ()
        self.prefill = self.features = None


@dataclass(frozen=True)
class Segmentation:
    """The answer to one prompt.

    answer: generated text, special tokens included.
    rles: the mask of each [SEG], at the image's own size.
    scores: SAM2's predicted IoU of each mask, the best of its candidates.
    logits: float16 (number of [SEG], size/4, size/4), what the masks were upsampled and thresholded from.
    drafted: whether the draft was the answer, so that the prompt's own pass verified it.
    leads: by how much each score exceeds that of the second-best candidate; empty where there is one candidate.
    """

    answer: str
    rles: list[RLE]
    scores: list[float]
    logits: np.ndarray
    drafted: bool = False
    leads: list[float] = field(default_factory=list)

    @property
    def masks(self) -> np.ndarray:
        """The masks decoded, bool (number of [SEG], height, width); of shape (0,) where there is none."""
        return np.array([decode(each) for each in self.rles], dtype=bool)


class Segmenter:
    """Takes batches through a model, stage by stage; a batch may be encoded before the one before it is decoded.

    Args:
        model: in its dtype, in evaluation mode.
        processor: the model's processor.
        max_new_tokens: the longest answer.
        drafts: for speculative decoding; a draft that is no answer costs time. None decodes token by token.
        looks: of the models that look at the same images in turn; None: this one alone does.
    """

    def __init__(
        self,
        model: Sa2VAModel,
        processor: Sa2VAProcessor,
        max_new_tokens: int,
        drafts: Drafts | None = None,
        looks: Looks | None = None,
    ) -> None:
        self._model = model
        self._looks = looks or Looks()
        self._processor = processor
        self._stopping = Stopping(processor.stop_token_ids, max_new_tokens)
        self._drafts = drafts
        self.paths: set[str] = set()  # that computed the batches encoded so far
        self._prompt_ids = lru_cache(_PROMPTS_KEPT)(processor.prompt_ids)
        # SAM2's encoder runs beside the language model: much of it waits for memory, and the rest for matmuls.
        self._side_stream = self._looks.side_stream(model.device)
        if self._side_stream:
            self._side_stream.wait_stream(self._main_stream())  # the weights have to be there

    def compile(self) -> None:
        """Compile the model's blocks."""
        compile_blocks(self._model)

    def segment(self, batch: Batch) -> list[list[Segmentation]]:
        """Answer every prompt of every image; prompts may differ in number and length from image to image.

        Raises:
            UserError: for a prompt without `<image>`.
            ArithmeticError: where logits are not finite.
        """
        self.encode(batch)
        self.decode(batch)
        return self.collect(batch)

    @torch.inference_mode()
    def encode(self, batch: Batch) -> None:
        """Read images and prompts; the host waits for nothing."""
        self.paths.add(self._model.path(full=batch.full))
        with self._compiled_if_full(batch):
            features = self._encode_beside(batch.images, self._side_stream) if self._side_stream else None
            batch.prefill = self._read([image.view for image in batch.images], batch.prompts)
            batch.features = features

    @torch.inference_mode()
    def decode(self, batch: Batch) -> None:
        """Answer, and launch the masks; lets go of what `encode` made."""
        assert batch.prefill is not None
        with self._compiled_if_full(batch):
            answers = self._model.answers(
                batch.prefill, seg_token_id=self._processor.seg_token_id, stopping=self._stopping
            )
            found = self._masks(batch, answers)
        if self._drafts:
            self._drafts.observe(answer.token_ids for answer in answers)
        sizes = [(batch.images[owner].height, batch.images[owner].width) for owner in batch.owners]
        masks = [
            official_masks(logits, height=height, width=width).mT.contiguous()
            for logits, (height, width) in zip(found.logits.split(_counts(answers)), sizes, strict=True)
        ]
        halves = found.logits.clamp(-LARGEST_LOGIT, LARGEST_LOGIT).half()
        others = Arriving(found.iou_scores, halves, torch.isfinite(found.logits).all())
        batch.let_go()
        batch.answers, batch.masks, batch.others = answers, masks, others

    @torch.inference_mode()
    def collect(self, batch: Batch) -> list[list[Segmentation]]:
        """The answers of each image, in the order of its prompts, once all tensors are on the host."""
        assert batch.masks is not None
        assert batch.others is not None
        scores, logits, finite = batch.others.wait()  # launched behind the masks, which are there now, too
        if not finite:
            raise ArithmeticError("the mask logits are not finite")
        counts = _counts(batch.answers)
        ranked = scores.sort(-1, descending=True).values
        grouped: list[list[Segmentation]] = [[] for _ in batch.prompts]
        for owner, answer, rles, score, lead, mine in zip(
            batch.owners,
            batch.answers,
            encode_masks(batch.masks),
            ranked[:, 0].split(counts),
            (ranked[:, :1] - ranked[:, 1:2]).split(counts),  # without columns where there is one candidate
            logits.split(counts),
            strict=True,
        ):
            grouped[owner].append(
                Segmentation(
                    answer=self._processor.answer_text(answer.token_ids),
                    rles=rles,
                    scores=score.tolist(),
                    logits=mine.numpy(),
                    drafted=answer.drafted,
                    leads=lead.flatten().tolist(),
                )
            )
        return grouped

    @torch.inference_mode()
    def answer(self, views: Sequence[ImageView], prompts: Sequence[Sequence[str]]) -> list[list[Answer]]:
        """The answers alone to the prompts about each view.

        Raises:
            UserError: for a prompt without `<image>`.
            ArithmeticError: where the language model's logits are not finite.
        """
        with self._model.uncompiled():  # few passes, each of its own length
            prefilled = self._read(views, prompts)
            answers = self._model.answers(
                prefilled, seg_token_id=self._processor.seg_token_id, stopping=self._stopping
            )
        if self._drafts:
            self._drafts.observe(answer.token_ids for answer in answers)
        of_each = iter(answers)
        return [[next(of_each) for _ in mine] for mine in prompts]

    def text_of(self, answer: Answer) -> str:
        """The generated text, special tokens included."""
        return self._processor.answer_text(answer.token_ids)

    def _compiled_if_full(self, batch: Batch) -> AbstractContextManager[object]:
        """Only full batches are worth being compiled for: each other shape would take tens of seconds, once."""
        return nullcontext() if batch.full else self._model.uncompiled()

    def _read(self, views: Sequence[ImageView], prompts: Sequence[Sequence[str]]) -> Prefill:
        rows = self._rows(views, prompts)
        draft = self._drafts.likeliest() if self._drafts else []
        multiple = ROUND_LENGTH if self._side_stream else 1
        packed = pack_prompts([token_ids for _, token_ids in rows], draft, multiple=multiple)
        packed = self._processor.placed(packed, [views[image].layout for image, _ in rows])
        vision: Any = self._model.vision  # what it sees is for its own eyes
        of_image = vision.tokens(self._looks.once(vision.tower, views, lambda: vision.look(views)), views)
        return self._model.read_prompts(
            packed.on(self._model.device),
            self._as_often_as_shown([of_image[image] for image, _ in rows], packed),
            self._processor.image_token_id,
        )

    def _rows(
        self, views: Sequence[ImageView], prompts: Sequence[Sequence[str]]
    ) -> list[tuple[int, list[list[int]]]]:
        """The number of an image and the token ids of those prompts about it that are packed into one row.

        They are alike up to the image: one with other words before it would have the others share these words
        alone, and the image pass through the language model for each of them.
        """
        rows = []
        for number, (view, mine) in enumerate(zip(views, prompts, strict=True)):
            token_ids = [self._prompt_ids(prompt, view.layout) for prompt in mine]
            rows += [(number, list(alike)) for _, alike in groupby(token_ids, self._before_the_image)]
        return rows

    def _before_the_image(self, token_ids: list[int]) -> list[int]:
        return token_ids[: token_ids.index(self._processor.image_token_id)]

    def _as_often_as_shown(self, of_rows: list[ImageTokens], packed: PackedPrompts) -> ImageTokens:
        """The image tokens in the rows' order; once per row, where its prompts share their beginning."""
        places = (packed.input_ids == self._processor.image_token_id).sum(-1).tolist()
        return join_tokens(
            [each for each, count in zip(of_rows, places, strict=True) for _ in range(count // len(each))]
        )

    def _encode_beside(
        self, images: Sequence[ProcessedImage], side_stream: torch.cuda.Stream
    ) -> ImageFeatures:
        """SAM2's features, on a stream of their own."""
        main = self._main_stream()
        with torch.cuda.stream(side_stream):
            features = self._encode_wholes(images)
        for tensor in (features.embedding, *features.high_resolution):
            tensor.record_stream(main)
        return features

    def _masks(self, batch: Batch, answers: list[Answer]) -> Masks:
        """The masks of all answers, one after the other; of the images' features, where they are known."""
        counts = _counts(answers)
        index = [owner for owner, count in zip(batch.owners, counts, strict=True) for _ in range(count)]
        if not index:
            return self._model.no_masks()
        encoded, features = [*range(len(batch.images))], batch.features
        if features is None:  # only what some answer segments
            encoded = sorted(set(index))
            features = self._encode_wholes([batch.images[image] for image in encoded])
        elif self._side_stream:
            self._main_stream().wait_stream(self._side_stream)
        states = torch.cat([answer.seg_states for answer in answers])
        return self._model.decode_masks(features, states, [encoded.index(image) for image in index])

    def _encode_wholes(self, images: Sequence[ProcessedImage]) -> ImageFeatures:
        encoder, wholes = self._model.image_encoder, [image.whole for image in images]

        def look() -> list[list[Windows]]:
            parts = [whole[None] for whole in wholes]
            return encoder.look(self._model.pixels(parts, self._model.grounding_dtype))

        return self._model.features(self._looks.once(encoder.trunk, wholes, look))

    def _main_stream(self) -> torch.cuda.Stream:
        return torch.cuda.current_stream(self._model.device)


def _counts(answers: Sequence[Answer]) -> list[int]:
    """The number of masks of each answer."""
    return [len(answer.seg_states) for answer in answers]
