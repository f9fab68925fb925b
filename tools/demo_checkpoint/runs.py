"""Cine runs as the frozen model sees them: what its memory is trained on, computed once.

The image encoder, the language model and the mask decoder do not change while the memory learns, so a frame's
features, the embedding of `[SEG]` and the masks of the frames that it prompts stay the same for all steps.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from demo_checkpoint.objective import QUESTION
from demo_checkpoint.samples import LABELS, union_of_outlines
from refvessel.demo.cine import cine_run
from refvessel.model.decoding import Stopping
from refvessel.model.modeling import ImageFeatures, Sa2VAModel
from refvessel.model.packing import pack_prompts
from refvessel.model.processing import Sa2VAProcessor, normalise

PROMPTED = 5  # frames that the language model sees, each of which its embedding prompts


class Frame(NamedTuple):
    """A frame of a run.

    coarse: (1, hidden, size/16, size/16), without the no-memory embedding.
    fine: (1, hidden/8, size/4, size/4) and (1, hidden/4, size/8, size/8).
    truths: bool (labels, 512, 512).
    """

    coarse: torch.Tensor
    fine: tuple[torch.Tensor, torch.Tensor]
    truths: torch.Tensor

    def fine_window(self, window: tuple[slice, slice]) -> tuple[torch.Tensor, torch.Tensor]:
        """The finer features in a window whose rows and columns are cells of the coarse ones."""
        first, second = self.fine
        return (
            first[..., *(scaled(part, 4) for part in window)],
            second[..., *(scaled(part, 2) for part in window)],
        )


class SeenRun(NamedTuple):
    """A run's frames, and what the mask decoder says of the prompted ones.

    logits: (prompted, phrases, size/4, size/4), of the mask that the embedding of `[SEG]` gives.
    tokens: (prompted, phrases, hidden), the decoder's token of that mask.
    presence: (prompted, phrases), the decoder's score of whether there is anything.
    prompts: (phrases, hidden), the embeddings of `[SEG]`.
    """

    frames: list[Frame]
    logits: torch.Tensor
    tokens: torch.Tensor
    presence: torch.Tensor
    prompts: torch.Tensor


@torch.no_grad()
def seen_run(
    model: Sa2VAModel, processor: Sa2VAProcessor, *, seed: int, patient: int, frames: int, phrases: list[str]
) -> SeenRun:
    """A patient's first run, as the model sees it.

    Args:
        model: with all its weights but the memory's.
        processor: of the model.
        seed: of the patients.
        patient: whose run it is.
        frames: how many it has.
        phrases: one for each of `LABELS`.
    """
    drawn = [frame.angiogram for frame in cine_run(seed, patient, 0, frames)]
    images = [processor.process_image(Image.fromarray(each.image)) for each in drawn]
    seen, masks = [], []
    states = [*_states(model, processor, torch.cat([image.tiles for image in images[:PROMPTED]]), phrases)]
    for number, (image, angiogram) in enumerate(zip(images, drawn, strict=True)):
        coarse, fine = model.image_encoder.encode(normalise(image.whole[None], torch.float32))
        truths = np.stack([union_of_outlines(angiogram.polygons[label]) for label in LABELS])
        seen.append(Frame(coarse, fine, torch.from_numpy(truths)))
        if number < PROMPTED:
            no_memory = model.grounding_encoder.no_memory_embedding.reshape(1, -1, 1, 1)
            masks.append(
                [best_mask(model, ImageFeatures(coarse + no_memory, fine), each[None]) for each in states]
            )
    parts = [torch.stack([torch.cat([one[part] for one in row]) for row in masks]) for part in range(3)]
    return SeenRun(seen, *parts, torch.stack([model.text_hidden_fcs(each) for each in states]))


def best_mask(
    model: Sa2VAModel, features: ImageFeatures, state: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of the mask that one `[SEG]` state prompts: logits (1, size/4, size/4), token (1, hidden), presence (1,)."""
    prompt = model.text_hidden_fcs(state)
    logits, scores, tokens, presence = decode(model, features, prompt, slice(None), slice(None))
    best = scores[0].argmax()
    return logits[:, best], tokens[:, best], presence[:, 0]


def decode(
    model: Sa2VAModel, features: ImageFeatures, prompt: torch.Tensor | None, rows: slice, columns: slice
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """All that the mask decoder says of a window of an image.

    Args:
        model: the whole one.
        features: of one image, cut to the window.
        prompt: (1, hidden); None where only the memory says what is meant.
        rows: of the window, in cells of the coarsest features.
        columns: the same.

    Returns:
        logits (1, 3, ...), predicted IoU (1, 3), tokens (1, 3, hidden) and score of the object's presence (1, 1).
    """
    sam2 = model.grounding_encoder
    sparse = sam2.prompt_encoder.not_a_point_embed.weight.expand(1, 2, -1)
    if prompt is not None:
        sparse = torch.cat([sparse, prompt[None]], dim=1)
    dense = sam2.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1).expand_as(features.embedding)
    logits, scores, tokens, presence = sam2.mask_decoder(
        image_embeddings=features.embedding,
        image_positional_embeddings=sam2.get_image_wide_positional_embeddings()[..., rows, columns],
        sparse_prompt_embeddings=sparse.unsqueeze(1),
        dense_prompt_embeddings=dense,
        multimask_output=True,
        high_resolution_features=list(features.high_resolution),
    )
    return logits[:, 0], scores[:, 0], tokens[:, 0], presence[:, 0]


def _states(
    model: Sa2VAModel, processor: Sa2VAProcessor, tiles: torch.Tensor, phrases: list[str]
) -> Iterator[torch.Tensor]:
    """The state of the first `[SEG]` of the answer to each phrase; `tiles` are those of the prompted frames."""
    embeds = model.embed_tiles(normalise(tiles, torch.float32)).flatten(0, 1)
    for phrase in phrases:
        question = processor.prompt_ids(QUESTION.format(phrase=phrase), num_tiles=len(tiles))
        begun = model.read_prompts(pack_prompts([[question]], []), embeds, processor.image_token_id)
        (answer,) = model.answers(
            begun,
            seg_token_id=processor.seg_token_id,
            stopping=Stopping(processor.stop_token_ids, max_new_tokens=16),
        )
        yield answer.seg_states[0]


def scaled(part: slice, factor: int) -> slice:
    """The same part of finer features."""
    return slice(part.start * factor, part.stop * factor)
