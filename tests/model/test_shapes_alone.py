"""What is built on the device `meta` without values is of the shapes and types that it has with them."""

from unittest.mock import patch

import pytest
import torch
from video_model import CONFIG

from refvessel.model.configuration import config_of
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.shapes_alone import shapes_alone


@pytest.mark.parametrize("architecture", ["Qwen2ForCausalLM", "InternLM2ForCausalLM", "Phi3ForCausalLM"])
def test_a_model_without_values_has_the_shapes_of_one_with_them(architecture):
    language = CONFIG["llm_config"] | {"architectures": [architecture], "pad_token_id": None}
    settings = CONFIG | {"llm_config": language}
    with torch.device("meta"), shapes_alone():
        found = Sa2VAModel(config_of(settings)).state_dict()
    whole = Sa2VAModel(config_of(settings)).state_dict()
    assert {name: (each.shape, each.dtype) for name, each in found.items()} == {
        name: (each.shape, each.dtype) for name, each in whole.items()
    }
    assert all(each.is_meta for each in found.values())


def test_tensors_of_other_devices_keep_their_values():
    with shapes_alone():
        products = torch.arange(3) * 2
    assert products.tolist() == [0, 2, 4]


@pytest.mark.parametrize("device_is_outside", [False, True])
def test_numbers_are_counted_without_pytorchs_python_whichever_block_is_the_outer_one(device_is_outside):
    blocks = [shapes_alone(), torch.device("meta")]
    outer, inner = reversed(blocks) if device_is_outside else blocks
    with patch("torch._refs.arange", side_effect=AssertionError("counted in Python")), outer, inner:
        counted, drawn = torch.arange(3), torch.rand(2, 5)
    assert counted.is_meta
    assert drawn.is_meta
    assert (counted.shape, counted.dtype, drawn.shape) == ((3,), torch.int64, (2, 5))
