"""What the parity tests of every model need."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from unittest import mock

import pytest
import torch
from known_stages import stages_computed_once

from refvessel.inference.drafts import Drafts
from refvessel.inference.segmenter import Batch, Segmentation, Segmenter
from refvessel.model.grounding import Masks
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.processing import ProcessedImage, Sa2VAProcessor
from refvessel.settings.inference_section import Inference

EXPECTED = Inference().draft


@pytest.fixture(scope="session", autouse=True)
def trunk_computed_once() -> Iterator[None]:
    """All models and batches of a session share what SAM2's trunk makes of an image."""
    with stages_computed_once():
        yield


@dataclass
class Segmented:
    """What a segmenter made of a batch, and what went through the mask decoder meanwhile.

    segmentations: of each prompt, image by image.
    states: (number of [SEG], hidden size), of all prompts in order.
    masks: of these states.
    """

    segmentations: list[Segmentation]
    states: torch.Tensor
    masks: Masks


@pytest.fixture(scope="session")
def segment() -> Callable[..., Segmented]:
    """A function that segments a batch."""

    def segment(
        model: Sa2VAModel,
        processor: Sa2VAProcessor,
        images: list[ProcessedImage],
        prompts: list[list[str]],
        draft: str | None = EXPECTED,
    ) -> Segmented:
        drafts = Drafts(processor.answer_ids(draft), processor.stop_token_ids) if draft else None
        decode = model.decode_masks
        states = torch.zeros(0, model.config.llm_config.hidden_size)
        decoded = [(states, model.no_masks().logits, model.no_masks().iou_scores)]

        def noted(features, seg_states, images):
            masks = decode(features, seg_states, images)
            decoded.append((seg_states, masks.logits, masks.iou_scores))
            return masks

        with mock.patch.object(model, "decode_masks", noted):
            segmenter = Segmenter(model, processor, Inference().max_new_tokens, drafts)
            segmentations = segmenter.segment(Batch(images, prompts))
        states, logits, scores = map(torch.cat, zip(*decoded, strict=True))
        return Segmented([*chain.from_iterable(segmentations)], states, Masks(logits, scores))

    return segment


@pytest.fixture(scope="session")
def assert_within() -> Callable[..., None]:
    """A function that fails where two tensors differ by more than a bar, or in shape."""

    def assert_within(bar: float, what: str, found: torch.Tensor, expected: torch.Tensor) -> None:
        assert found.shape == expected.shape, what
        if not found.numel():
            return
        error = (found - expected).abs().max().item()
        assert error <= bar, (
            f"{what} differ by {error:.1e} from the official ones, where {bar:.0e} is allowed"
        )

    return assert_within
