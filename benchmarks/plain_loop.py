"""What the official evaluator does, by transformers' own modules: the measure of every speed and of every mask.

One expression at a time: the image is read, tiled and encoded anew, `generate` answers token by token, SAM2's own
encoder runs anew, and the mask is upsampled and encoded.
"""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from library_model import library_model

from refvessel.dataset.tree.loader import open_image
from refvessel.inference.plan import ImageTask
from refvessel.model.grounding import ImageFeatures, upsample_logits
from refvessel.model.image_tokens import ImageView
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.naming import QWEN3_VL
from refvessel.model.normalisation import normalise
from refvessel.model.processing import ProcessedImage, Sa2VAProcessor
from refvessel.model.qwen_configuration import QwenSa2VAConfig
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
    tokens, states = plain_states(model, processor, image.view, prompt)
    masks = [_mask(model, image, state[None]) for state in states]
    return PlainAnswer(tokens, states, np.array(masks, bool).reshape(-1, image.height, image.width))


@torch.inference_mode()
def plain_states(
    model: Sa2VAModel, processor: Sa2VAProcessor, view: ImageView, prompt: str
) -> tuple[list[int], torch.Tensor]:
    """The generated tokens, and the states of their [SEG], (number, hidden size)."""
    ids = torch.tensor([processor.prompt_ids(prompt, view.layout)], device=model.device)
    pixels = normalise(view.tiles.to(model.device), model.dtype, view.statistics)
    if isinstance(model.config, QwenSa2VAConfig):
        language, inputs = _qwen_inputs(model, processor, view, ids, pixels)
    else:
        embeds = model.vision.embed_tiles(pixels).flatten(0, 1)
        language = model.language_model
        inputs = {"inputs_embeds": model.embed_prompts(ids, embeds, processor.image_token_id)}
    states: list[torch.Tensor] = []  # of the last token, at each step
    # Not by `output_hidden_states`, for which transformers would leave hooks in every layer.
    decoder = language.model.language_model if "input_ids" in inputs else language.model
    if model.config.architecture == QWEN3_VL:
        note = decoder.norm.register_forward_pre_hook(lambda _norm, given: states.append(given[0][:, -1]))
    else:
        note = decoder.norm.register_forward_hook(lambda _norm, _inputs, output: states.append(output[:, -1]))
    with note:
        generated = language.generate(
            **inputs,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=64,
            eos_token_id=list(processor.stop_token_ids),
            pad_token_id=0,
        )
    tokens = generated[0].tolist()
    tokens = tokens[ids.shape[1] :] if "input_ids" in inputs else tokens
    of_seg = [states[place + 1] for place, token in enumerate(tokens[:-1]) if token == processor.seg_token_id]
    return tokens, torch.cat([states[0][:0], *of_seg])


def _qwen_inputs(
    model: Sa2VAModel,
    processor: Sa2VAProcessor,
    view: ImageView,
    ids: torch.Tensor,
    pixels: torch.Tensor,
) -> tuple[Any, dict[str, torch.Tensor]]:
    """The library's own model, and what it takes: both frames of a patch are its image."""
    merge = model.config.vision_config.spatial_merge_size
    grids = [[1, merge * rows, merge * columns] for image in view.layout for rows, columns in image]
    return library_model(model), {
        "input_ids": ids,
        "mm_token_type_ids": (ids == processor.image_token_id).int(),
        "pixel_values": pixels.unsqueeze(2).expand(-1, -1, 2, -1, -1).flatten(1),
        "image_grid_thw": torch.tensor(grids, device=model.device),
    }


def _mask(model: Sa2VAModel, image: ProcessedImage, state: torch.Tensor) -> np.ndarray:
    """The mask of one [SEG] state, SAM2's features computed for it alone."""
    sam2 = model.grounding_encoder
    pixels = normalise(image.whole[None].to(model.device), model.grounding_dtype)
    fine, middle, coarse = sam2.vision_encoder(pixels).fpn_hidden_states
    features = ImageFeatures(
        coarse + sam2.no_memory_embedding.reshape(1, -1, 1, 1),
        (sam2.mask_decoder.conv_s0(fine), sam2.mask_decoder.conv_s1(middle)),
    )
    logits = model.decode_masks(features, state).logits
    upsampled = upsample_logits(logits, sam2.image_size, image.height, image.width)
    return (upsampled.sigmoid() > 0.5)[0].cpu().numpy()
