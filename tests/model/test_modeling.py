"""Loading official folders, and what holds of any weights."""

import pytest
import torch

from refvessel.errors import UserError
from refvessel.model.grounding import ImageFeatures, upsample_logits
from refvessel.model.modeling import Sa2VAModel


def load(folder, dtype=torch.float32):
    return Sa2VAModel.load(folder, dtype=dtype)


def test_a_loaded_model_has_the_folders_weights(write_folder, official_tensors, random_model):
    loaded = load(write_folder(official_tensors)).state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in random_model.state_dict().items())


def test_bfloat16_weights_are_those_of_the_folder_rounded_but_positions_stay_exact(
    write_folder, official_tensors, random_model
):
    loaded = load(write_folder(official_tensors), torch.bfloat16)
    expected = random_model.state_dict()
    for name, tensor in loaded.state_dict().items():
        exact = name.endswith("positional_embedding")
        assert tensor.dtype == (torch.float32 if exact else torch.bfloat16)
        assert torch.equal(tensor, expected[name].to(tensor.dtype)), name


def test_a_missing_tensor_is_named(write_folder, official_tensors):
    tensors = dict(official_tensors)
    del tensors["text_hidden_fcs.0.bias"]
    with pytest.raises(UserError, match=r"lacks text_hidden_fcs\.0\.bias"):
        load(write_folder(tensors))


def test_an_unknown_tensor_is_named(write_folder, official_tensors):
    tensors = official_tensors | {"mlp2.0.weight": torch.zeros(2)}
    with pytest.raises(UserError, match=r"has unknown mlp2\.0\.weight"):
        load(write_folder(tensors))


def test_a_tensor_of_another_shape_is_named_with_both_shapes(write_folder, official_tensors):
    tensors = official_tensors | {"mlp1.1.bias": torch.zeros(31)}
    with pytest.raises(UserError, match=r"mlp1\.1\.bias \(31 instead of 32\)"):
        load(write_folder(tensors))


def test_a_folder_without_weights_is_refused(write_folder, official_tensors):
    folder = write_folder(official_tensors)
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match="weights cannot be read"):
        load(folder)


def test_truncated_weights_are_refused(write_folder, official_tensors):
    weights = write_folder(official_tensors) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(UserError, match="weights cannot be read"):
        load(weights.parent)


def test_the_folders_own_code_is_never_run(write_folder, official_tensors, tmp_path):
    auto_map = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}
    folder = write_folder(official_tensors, auto_map=auto_map)
    ran = tmp_path / "ran"
    (folder / "evil.py").write_text(f"open({str(ran)!r}, 'w')\nclass Config: pass\nclass Model: pass\n")
    load(folder)
    assert not ran.exists()


@torch.inference_mode()
def test_masks_do_not_depend_on_the_other_prompts_of_a_batch(random_model):
    torch.manual_seed(4)
    features = random_model.encode_images(torch.randn(2, 3, 256, 256))
    states = torch.randn(3, random_model.config.llm_config.hidden_size)
    together = random_model.decode_masks(features.of(torch.tensor([0, 1, 1])), states)
    alone = random_model.decode_masks(features.of(torch.tensor([1])), states[2:])
    assert isinstance(features, ImageFeatures)
    torch.testing.assert_close(together.logits[2:], alone.logits, atol=1e-4, rtol=1e-4)
    assert together.logits.shape == (3, 64, 64)


def test_upsampling_goes_through_the_models_square():
    logits = torch.randn(1, 64, 64)
    square = torch.nn.functional.interpolate(logits[None], size=(256, 256), mode="bilinear")
    expected = torch.nn.functional.interpolate(square, size=(100, 300), mode="bilinear")[0]
    assert torch.equal(upsample_logits(logits, 256, 100, 300), expected)
