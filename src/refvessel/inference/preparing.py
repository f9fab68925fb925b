"""What a batch needs, made ready by a model of the same shapes, few layers and no weights.

As a process of its own it is told on its standard input what a batch is like, compiles, and leaves what it made
where the compilers look for it: blocks that repeat are compiled once.
"""

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from PIL import Image

from refvessel.cores import usable_cores
from refvessel.inference.drafts import known_drafts
from refvessel.inference.mask_texts import encode_masks
from refvessel.inference.official_masks import official_masks
from refvessel.inference.segmenter import Batch, Segmenter
from refvessel.model.compilation import compile_blocks, fuse_blocks
from refvessel.model.configuration import read_config
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.processing import Sa2VAProcessor
from refvessel.model.qwen_configuration import QwenSa2VAConfig
from refvessel.model.shapes_alone import shapes_alone

_LAYERS = 4  # of the language model; as many as Qwen3-VL's image encoder adds to, and a last one
_NICENESS = 10  # it may take a core that nobody else wants


@dataclass(frozen=True)
class LikeBatch:
    """What a batch is like.

    model: official Hugging Face folder.
    size: height and width of its images, in pixels.
    prompts: of each image.
    images: how many.
    dtype: of the computation, as PyTorch names it.
    draft: the expected answer.
    language_weights: as `Sa2VAModel.load` takes it.
    """

    model: str
    size: tuple[int, int]
    prompts: tuple[str, ...]
    images: int
    dtype: str
    draft: str | None
    language_weights: str | None

    def to_line(self) -> str:
        """What the process reads."""
        return json.dumps(asdict(self))


def few_layers(like: LikeBatch, device: torch.device) -> Sa2VAModel:
    """A model of the shapes of the official folder's, without weights that mean anything."""
    config = read_config(Path(like.model))
    language = config.llm_config
    language.num_hidden_layers = min(_LAYERS, language.num_hidden_layers)
    if getattr(language, "layer_types", None):
        language.layer_types = language.layer_types[:_LAYERS]
    if not isinstance(config, QwenSa2VAConfig):
        config.vision_config.num_hidden_layers = 1
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, like.dtype))
    try:
        with torch.device("meta"), shapes_alone():
            model = Sa2VAModel(config, like.language_weights)
    finally:
        torch.set_default_dtype(before)
    with shapes_alone():
        model = model.to_empty(device=device).eval().requires_grad_(False)
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.zero_()
    if device.type == "cuda":
        fuse_blocks(model)
    return model


def build_kernels(model: Sa2VAModel, processor: Sa2VAProcessor, like: LikeBatch) -> None:
    """Have Triton's kernels for a batch like those to come built, as many at once as there are cores."""
    from refvessel.model.triton_launching import only_built  # Triton comes with PyTorch for GPUs only

    with only_built(usable_cores()):
        _encode(model, processor, like)


@torch.inference_mode()
def rehearse(model: Sa2VAModel, processor: Sa2VAProcessor, like: LikeBatch) -> None:
    """Take a batch like those to come through a model and its masks to their text."""
    height, width = like.size
    segmenter, batch, logits = _encode(model, processor, like)
    segmenter.decode(batch)  # which finds no [SEG] in what such a model answers
    masks = official_masks(logits[: len(like.prompts)], height=height, width=width)
    encode_masks([masks.mT.contiguous()])


@torch.inference_mode()
def _encode(
    model: Sa2VAModel, processor: Sa2VAProcessor, like: LikeBatch
) -> tuple[Segmenter, Batch, torch.Tensor]:
    """A batch that is encoded, by whom, and logits of a mask for each of its prompts."""
    height, width = like.size
    image = processor.process_image(Image.new("RGB", (width, height)))
    batch = Batch([image] * like.images, [like.prompts] * like.images)
    segmenter = Segmenter(model, processor, 1, known_drafts(like.draft, processor))
    segmenter.encode(batch)
    features = batch.features
    if features is None:  # on the CPU, which makes them when it knows of what
        features = model.encode_images(model.pixels([image.whole[None]] * like.images, model.grounding_dtype))
    states = torch.zeros(
        len(batch.owners), model.config.llm_config.hidden_size, dtype=model.dtype, device=model.device
    )
    return segmenter, batch, model.decode_masks(features, states, batch.owners).logits


def prepare(like: LikeBatch, device: torch.device) -> None:
    """Compile for a batch, by one."""
    model = few_layers(like, device)
    compile_blocks(model)
    rehearse(model, Sa2VAProcessor.from_pretrained(Path(like.model)), like)
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    """Do what the standard input says."""
    os.nice(_NICENESS)
    told = json.load(sys.stdin)
    like = LikeBatch(**told | {"size": tuple(told["size"]), "prompts": tuple(told["prompts"])})
    prepare(like, torch.device("cuda"))


if __name__ == "__main__":
    main()
