"""A very small Sa2VA of random weights, written as an official folder by the tests themselves."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from small_sizes import SAM2, TOWER

from refvessel.model.configuration import Sa2VAConfig
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.official_tensors import official_state_dict

CONFIG = {
    "model_type": "sa2va_chat",
    "architectures": ["Sa2VAChatModel"],
    "template": "qwen_chat",
    "vision_config": TOWER,
    "llm_config": {
        "architectures": ["Qwen2ForCausalLM"],
        "vocab_size": 40,
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
    "grounding_encoder_config": SAM2,
}


@pytest.fixture(scope="session")
def new_config() -> Callable[[], dict]:
    """A function that returns the configuration, free to be changed."""
    return lambda: json.loads(json.dumps(CONFIG))


@pytest.fixture
def config(new_config) -> dict:
    return new_config()


@pytest.fixture(scope="session")
def random_model() -> Sa2VAModel:
    torch.manual_seed(0)
    model = Sa2VAModel(Sa2VAConfig(**json.loads(json.dumps(CONFIG)))).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2)
    return model


@pytest.fixture(scope="session")
def official_tensors(random_model) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in official_state_dict(random_model.state_dict()).items()}


@pytest.fixture
def write_folder(tmp_path, config):
    """A function that writes an official folder of given tensors and settings."""

    def write(tensors: dict[str, torch.Tensor], **settings) -> Path:
        folder = tmp_path / "model"
        folder.mkdir()
        save_file({name: each.contiguous() for name, each in tensors.items()}, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(config | settings))
        return folder

    return write
