"""From an image and a question to the arrays that the model reads, as the official code makes them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, cast

import torch
from PIL import Image
from transformers.models.qwen2.tokenization_qwen2 import Qwen2Tokenizer
from transformers.tokenization_utils_base import PreTrainedTokenizerBase
from transformers.tokenization_utils_tokenizers import PreTrainedTokenizerFast

from refvessel.errors import UserError
from refvessel.model.configuration import Sa2VAConfig, read_config
from refvessel.model.grounded_configuration import sam2_side
from refvessel.model.image_tokens import ImageView, Layout, tokens_of
from refvessel.model.internvl_inputs import TileInputs
from refvessel.model.isolation import tokenizer_alone
from refvessel.model.multimodal_positions import with_multimodal_positions
from refvessel.model.normalisation import Statistics, channels_first
from refvessel.model.packing import PackedPrompts
from refvessel.model.qwen_configuration import QwenSa2VAConfig
from refvessel.model.qwen_inputs import read_inputs
from refvessel.model.sentencepiece_tokenizer import has_tokenizer
from refvessel.prompts import IMAGE_PLACEHOLDER

_SEG_TOKEN = "[SEG]"
_LONGEST_REASON = 300  # characters


@dataclass(frozen=True)
class ProcessedImage:
    """An image as the two encoders read it.

    view: what the language model sees.
    whole: uint8 (channels, size, size), for SAM2; 3 channels, or 1 of a grey image, which stands for 3 equal ones.
    height, width: of the image itself, in pixels.
    """

    view: ImageView
    whole: torch.Tensor
    height: int
    width: int

    def pin_memory(self) -> "ProcessedImage":
        """The same in pinned memory, as PyTorch's loader asks for it."""
        return replace(self, view=self.view.pin_memory(), whole=self.whole.pin_memory())


class Inputs(Protocol):
    """How a family puts images and questions before its language model.

    Attributes:
        image_token: stands for one image token.
        stop_tokens: end an answer.
        has_axes: whether positions are of time, row and column.
        statistics: what pixels are normalised by.
    """

    image_token: str
    stop_tokens: tuple[str, ...]
    has_axes: bool
    statistics: Statistics

    def view_image(self, image: Image.Image) -> ImageView:
        """A still image, of mode L or RGB."""

    def view_frames(self, frames: Sequence[Image.Image]) -> ImageView:
        """Frames of a film, as the images of one prompt, all of one size."""

    def layout(self, width: int, height: int) -> Layout:
        """That of a still image of this size in pixels."""

    def text(self, question: str, layout: Layout) -> str:
        """The whole prompt, with the images' tokens in their places."""


class Sa2VAProcessor:
    """Images to pixels, questions to token ids, token ids to answers; of any family.

    Args:
        config: the model's configuration.
        tokenizer: the model's tokenizer.
        inputs: those of the family.

    Raises:
        UserError: where the tokenizer lacks a token that Sa2VA needs.
    """

    def __init__(
        self,
        config: Sa2VAConfig | QwenSa2VAConfig,
        tokenizer: PreTrainedTokenizerBase,
        inputs: Inputs,
    ) -> None:
        self._tokenizer = tokenizer
        self._inputs = inputs
        self._sam2_size = sam2_side(config.sam2_config())
        self.image_token_id = self._token_id(inputs.image_token)
        self.seg_token_id = self._token_id(_SEG_TOKEN)
        stop_ids = {self._token_id(token) for token in inputs.stop_tokens}
        self.stop_token_ids = frozenset(stop_ids | {tokenizer.eos_token_id} - {None})

    @classmethod
    def from_pretrained(cls, folder: Path) -> "Sa2VAProcessor":
        """Read configuration and tokenizer of an official folder by explicit class; raises UserError."""
        config = read_config(folder)
        architecture = config.architecture
        kind = Qwen2Tokenizer if architecture.startswith("Qwen") else PreTrainedTokenizerFast
        if kind is PreTrainedTokenizerFast and not has_tokenizer(folder):
            raise UserError(
                f"{folder} has no tokenizer.json and no tokenizer.model, which the tokenizer of {architecture} is "
                "read from; copy the model again."
            )
        with tokenizer_alone(folder) as place:
            try:
                tokenizer = kind.from_pretrained(place, local_files_only=True, trust_remote_code=False)
            except Exception as error:  # tokenizers' own parser raises plain ones
                reason = " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST_REASON]
                raise UserError(
                    f"{folder}: the tokenizer files cannot be read ({reason}); restore them."
                ) from None
        try:
            inputs: Inputs
            if isinstance(config, QwenSa2VAConfig):
                inputs = read_inputs(folder, config, tokenizer.special_tokens_map)
            else:
                inputs = TileInputs(config)
            processor = cls(config, tokenizer, inputs)
            stated = getattr(config, "image_token_id", processor.image_token_id)
            if stated != processor.image_token_id:
                raise UserError(
                    f"config.json: image_token_id is {stated}, but {processor.image_token_id} is the id of "
                    f"{inputs.image_token} in the tokenizer; copy the model again."
                )
            return processor
        except UserError as error:
            raise UserError(f"{folder}: {error}") from None

    @property
    def statistics(self) -> Statistics:
        """What the pixels that the language model sees are normalised by."""
        return self._inputs.statistics

    def process_image(self, image: Image.Image) -> ProcessedImage:
        """Cut and resize one image: of mode L as it is, of any other PIL mode in RGB.

        Raises UserError for pixels of more than 8 bits, which RGB would cut.
        """
        pixels = _of_8_bits(image)
        return ProcessedImage(self._inputs.view_image(pixels), self._whole(pixels), image.height, image.width)

    def view_frames(self, frames: Sequence[Image.Image]) -> ImageView:
        """Several frames of a film as the images of one prompt, for the language model; all of one size.

        Raises UserError as `process_image` does.
        """
        return self._inputs.view_frames([_of_8_bits(frame) for frame in frames])

    def whole(self, image: Image.Image) -> torch.Tensor:
        """An image as SAM2 takes it, as `ProcessedImage.whole`; raises UserError as `process_image` does."""
        return self._whole(_of_8_bits(image))

    def _whole(self, pixels: Image.Image) -> torch.Tensor:
        return channels_first(pixels.resize((self._sam2_size, self._sam2_size), Image.Resampling.BICUBIC))

    def layout(self, width: int, height: int) -> Layout:
        """How the image tokens of a still image of this size in pixels lie."""
        return self._inputs.layout(width, height)

    def prompt_ids(self, question: str, layout: Layout) -> list[int]:
        """Token ids of one wrapped question, with the tokens of images of this layout.

        Raises UserError unless the question holds exactly one `<image>`, and no image token itself.
        """
        if question.count(IMAGE_PLACEHOLDER) != 1:
            raise UserError(f"the prompt {question!r} must hold {IMAGE_PLACEHOLDER} exactly once; add it.")
        ids = self._tokenizer.encode(self._inputs.text(question, layout))
        if ids.count(self.image_token_id) != tokens_of(layout):
            raise UserError(f"the prompt {question!r} holds {self._inputs.image_token}; remove that.")
        return ids

    def placed(self, prompts: PackedPrompts, layouts: Sequence[Layout]) -> PackedPrompts:
        """Packed prompts, still on the host, with the positions of their tokens as the family counts them.

        `layouts` are those of each row's images.
        """
        if not self._inputs.has_axes:
            return prompts
        return with_multimodal_positions(prompts, layouts, self.image_token_id)

    def answer_ids(self, text: str) -> list[int]:
        """Token ids of an answer's text, special tokens by their names."""
        return self._tokenizer.encode(text, add_special_tokens=False)

    def answer_text(self, token_ids: list[int]) -> str:
        """The generated text, special tokens included, as the official code returns it."""
        text = cast("str", self._tokenizer.decode(token_ids, skip_special_tokens=False))  # of one answer
        return text.strip()

    def _token_id(self, token: str) -> int:
        index = self._tokenizer.get_vocab().get(token)
        if index is None:
            raise UserError(f"the tokenizer has no token {token}; give the tokenizer of a Sa2VA model.")
        if index not in self._tokenizer.encode(token):
            raise UserError(
                f"the tokenizer does not read {token} as one token; restore the model's tokenizer files."
            )
        return index


def _of_8_bits(image: Image.Image) -> Image.Image:
    """An image in mode L or RGB; raises UserError for pixels that these would cut."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        raise UserError(
            f"an image has pixels of the mode {image.mode!r}, which 8 bits would cut; convert it to L or RGB."
        )
    return image if image.mode == "L" else image.convert("RGB")
