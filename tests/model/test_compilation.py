"""A model that is compiled computes the same, and other models of the process stay as they are."""

from copy import deepcopy

import pytest
import torch
from torch._dynamo.utils import counters

from refvessel.model.compilation import compile_blocks
from refvessel.model.image_tokens import ImageTokens
from refvessel.model.packing import pack_prompts


@pytest.fixture
def compiled_and_other(random_model):
    """Two copies of a model, of which the first is compiled."""
    models = deepcopy(random_model), deepcopy(random_model)
    compile_blocks(models[0])
    return models


@torch.inference_mode()
def computed(model):
    """What all parts that can be compiled make of the same images and prompts."""
    torch.manual_seed(0)
    tiles = model.normalise(torch.randint(256, (1, 1, 448, 448), dtype=torch.uint8), torch.float32)
    embeds = model.vision.embed_tiles(tiles).flatten(0, 1)
    packed = pack_prompts([[[7] * len(embeds) + [1, 2], [7] * len(embeds) + [3]]], [4, 5])
    states = model.read_prompts(packed, ImageTokens(embeds), 7).states[:, -1]
    features = model.encode_images(torch.randn(1, 3, 256, 256))
    masks = model.decode_masks(features.of(torch.tensor([0, 0])), states)
    return tiles, embeds, states, features.embedding, masks.logits, masks.iou_scores


def test_fused_and_replaced_layers_compute_the_same(compiled_and_other):
    compiled, other = compiled_and_other
    with compiled.uncompiled():
        found = computed(compiled)
    for ours, expected in zip(found, computed(other), strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


def test_compiling_one_model_compiles_no_other(compiled_and_other):
    compiled, other = compiled_and_other
    assert (compiled.language.is_compiled, other.language.is_compiled) == (True, False)
    counters.clear()
    computed(other)
    assert not counters["frames"]
