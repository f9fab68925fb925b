import json

import pytest

from refvessel.checkpoint.model_config import official_config, read_base_config
from refvessel.errors import UserError

BASE = {
    "model_type": "internvl_chat",
    "template": "internvl2_5",
    "auto_map": {"AutoModel": "evil.Model"},
    "torch_dtype": "bfloat16",
    "ps_version": "v2",
    "llm_config": {
        "architectures": ["Qwen2ForCausalLM"],
        "vocab_size": 10,
        "auto_map": {"AutoModel": "evil.Model"},
        "torch_dtype": "bfloat16",
    },
    "vision_config": {"hidden_size": 48},
}


def test_the_official_configuration_keeps_the_base_and_names_the_official_code_alone():
    config = official_config(
        BASE, template="qwen_chat", vocab_size=15, grounding_encoder=None, tied=False, dtype="float32"
    )
    assert config == {
        "model_type": "sa2va_chat",
        "architectures": ["Sa2VAChatModel"],
        "auto_map": {
            "AutoConfig": "configuration_sa2va_chat.Sa2VAChatConfig",
            "AutoModel": "modeling_sa2va_chat.Sa2VAChatModel",
            "AutoModelForCausalLM": "modeling_sa2va_chat.Sa2VAChatModel",
        },
        "template": "qwen_chat",
        "torch_dtype": "float32",
        "ps_version": "v2",
        "llm_config": {"architectures": ["Qwen2ForCausalLM"], "vocab_size": 15},
        "vision_config": {"hidden_size": 48},
    }
    assert BASE["llm_config"]["vocab_size"] == 10


def test_a_grounding_encoder_is_passed_through():
    stated = {"embed_dim": 8, "memory_dim": 32}
    config = official_config(
        BASE, template="qwen_chat", vocab_size=15, grounding_encoder=stated, tied=False, dtype="float32"
    )
    assert config["grounding_encoder_config"] == stated


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "llava"},
        {"llm_config": None},
        {"vision_config": []},
        {"grounding_encoder_config": "tiny"},
    ],
)
def test_the_configuration_of_another_model_is_refused(change, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(BASE | change))
    with pytest.raises(UserError, match=r"config\.json"):
        read_base_config(tmp_path)
