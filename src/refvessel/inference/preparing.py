"""A process that compiles what another one will need, and leaves it where the compilers look for it.

It is told on its standard input what a batch is like. Its model has the shapes of the other's, few layers and no
weights: blocks that repeat are compiled once.
"""

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from PIL import Image

from refvessel.inference.drafts import known_drafts
from refvessel.inference.segmenter import Batch, Segmenter
from refvessel.model.compilation import compile_blocks
from refvessel.model.configuration import read_config
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.processing import Sa2VAProcessor
from refvessel.model.qwen_configuration import QwenSa2VAConfig

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
        with torch.device("meta"):
            model = Sa2VAModel(config, like.language_weights)
    finally:
        torch.set_default_dtype(before)
    model = model.to_empty(device=device).eval().requires_grad_(False)
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.zero_()
    return model


@torch.inference_mode()
def prepare(like: LikeBatch, device: torch.device) -> None:
    """Compile for a batch, by one."""
    processor = Sa2VAProcessor.from_pretrained(Path(like.model))
    model = few_layers(like, device)
    compile_blocks(model)
    image = processor.process_image(Image.new("RGB", (like.size[1], like.size[0])))
    batch = Batch([image] * like.images, [like.prompts] * like.images)
    segmenter = Segmenter(model, processor, 1, known_drafts(like.draft, processor))
    segmenter.encode(batch)
    features = batch.features
    if features is None:  # on a CPU, which makes them when it knows of what
        wholes = [image.whole[None]] * like.images
        features = model.encode_images(model.pixels(wholes, model.grounding_dtype))
    hidden: int = model.config.llm_config.hidden_size
    states = torch.zeros(len(batch.owners), hidden, dtype=model.dtype, device=device)
    if device.type == "cuda":
        torch.cuda.synchronize()
    model.decode_masks(features, states, batch.owners)
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
