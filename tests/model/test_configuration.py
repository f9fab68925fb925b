"""Only what is built is accepted; the rest is named."""

import json

import pytest

from refvessel.errors import UserError
from refvessel.model.configuration import Sa2VAConfig, read_config
from refvessel.model.prompt_templates import find_template


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"ps_version": "v1"}, "ps_version is 'v1'"),
        ({"select_layer": -4}, "select_layer is -4"),
        ({"llm_config": {"architectures": ["MambaForCausalLM"]}}, "names MambaForCausalLM"),
    ],
)
def test_an_unsupported_setting_is_named(config, settings, sentence):
    with pytest.raises(UserError, match=sentence):
        Sa2VAConfig(**(config | settings))


def test_an_unknown_key_of_the_grounding_encoder_is_named(config):
    config["grounding_encoder_config"]["widht"] = 3
    with pytest.raises(UserError, match="unknown keys widht"):
        Sa2VAConfig(**config).sam2_config()


def test_an_unknown_template_is_named():
    with pytest.raises(UserError, match="'vicuna' is unknown"):
        find_template("vicuna")


def test_a_folder_of_another_kind_of_model_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen2"}))
    with pytest.raises(UserError, match="model_type is not sa2va_chat"):
        read_config(tmp_path)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere.config\.json does not exist"):
        read_config(tmp_path / "nowhere")
