"""What the official evaluator does, by transformers' own modules: the measure of every speed and of every mask.

One expression at a time: the image is read, tiled and encoded anew, `generate` answers token by token, SAM2's own
encoder runs anew, and the mask is upsampled and encoded.
"""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from refvessel.dataset.tree.loader import open_image
from refvessel.inference.plan import ImageTask
from refvessel.model.grounding import ImageFeatures, upsample_logits
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.normalisation import normalise
from refvessel.model.processing import ProcessedImage, Sa2VAProcessor
from refvessel.rle import encode
from refvessel.settings.inference_section import Inference


class PlainAnswer(NamedTuple):
    """The answer to one prompt.

    token_ids: the generated tokens.
    seg_states: (number of [SEG], hidden size).
    masks: bool (number of [SEG], height, width).
    """

    token_ids: list[int]
    seg_states: torch.Tensor
    masks: np.ndarray


def plain_masks(
    model: Sa2VAModel, processor: Sa2VAProcessor, tasks: Iterable[ImageTask]
) -> Iterator[np.ndarray]:
    """The mask of each expression, bool (height, width), the union where there are several [SEG]."""
    for task in tasks:
        for expression in task.expressions:
            image = processor.process_image(open_image(expression))
            yield plain_answer(
                model, processor, image, Inference().question.format(phrase=expression.phrase)
            ).masks.any(0)


def plain_loop_seconds(
    model: Sa2VAModel, processor: Sa2VAProcessor, tasks: list[ImageTask], shard: Path
) -> float:
    """Seconds from files to a shard on the disk."""
    begin = time.perf_counter()
    with shard.open("w") as stream:
        for mask in plain_masks(model, processor, tasks):
            stream.write(f"{encode(mask)}\n")
            stream.flush()
    return time.perf_counter() - begin


@torch.inference_mode()
def plain_answer(
    model: Sa2VAModel, processor: Sa2VAProcessor, image: ProcessedImage, prompt: str
) -> PlainAnswer:
    """The answer to one prompt."""
    language = model.language_model
    tiles = normalise(image.view.tiles.to(model.device), model.dtype)
    embeds = model.vision.embed_tiles(tiles).flatten(0, 1)
    ids = torch.tensor([processor.prompt_ids(prompt, image.view.layout)], device=model.device)
    states: list[torch.Tensor] = []  # of the last token, at each step
    # Not by `output_hidden_states`, for which transformers would leave hooks in every layer.
    note = language.model.norm.register_forward_hook(
        lambda _norm, _inputs, output: states.append(output[:, -1])
    )
    with note:
        generated = language.generate(
            inputs_embeds=model.embed_prompts(ids, embeds, processor.image_token_id),
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=64,
            eos_token_id=list(processor.stop_token_ids),
            pad_token_id=0,
        )
    tokens = generated[0].tolist()
    of_seg = [states[place + 1] for place, token in enumerate(tokens[:-1]) if token == processor.seg_token_id]
    masks = [_mask(model, image, state) for state in of_seg]
    return PlainAnswer(
        tokens,
        torch.cat([states[0][:0], *of_seg]),
        np.array(masks, bool).reshape(-1, image.height, image.width),
    )


def _mask(model: Sa2VAModel, image: ProcessedImage, state: torch.Tensor) -> np.ndarray:
    """The mask of one [SEG] state, SAM2's features computed for it alone."""
    sam2 = model.grounding_encoder
    pixels = normalise(image.whole[None].to(model.device), model.dtype)
    fine, middle, coarse = sam2.vision_encoder(pixels).fpn_hidden_states
    features = ImageFeatures(
        coarse + sam2.no_memory_embedding.reshape(1, -1, 1, 1),
        (sam2.mask_decoder.conv_s0(fine), sam2.mask_decoder.conv_s1(middle)),
    )
    logits = model.decode_masks(features, state).logits
    upsampled = upsample_logits(logits, sam2.image_size, image.height, image.width)
    return (upsampled.sigmoid() > 0.5)[0].cpu().numpy()
