"""The language model's linear layers in 8 bits: what is stored, what is computed, and what stays as it is."""

import gc
import weakref

import pytest
import torch
from transformers import core_model_loading

from refvessel.errors import UserError
from refvessel.model import weights
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.naming import INTERNLM2
from refvessel.model.official_tensors import official_state_dict
from refvessel.model.quantisation import LANGUAGE_WEIGHTS, QuantisedLinear, quantise

KINDS = pytest.mark.parametrize("kind", ["int8", "float8"])
ARCHITECTURES = pytest.mark.parametrize(
    "architecture", ["Qwen2ForCausalLM", "Qwen3ForCausalLM", "LlamaForCausalLM", INTERNLM2, "Phi3ForCausalLM"]
)


@KINDS
def test_the_largest_weight_of_each_channel_is_exact_and_the_others_are_near(kind):
    torch.manual_seed(0)
    weight = torch.randn(16, 64) * torch.logspace(-6, 6, 16)[:, None]
    stored, scale = quantise(weight, LANGUAGE_WEIGHTS[kind])
    assert stored.dtype == LANGUAGE_WEIGHTS[kind]
    restored = stored.float() * scale[:, None]
    largest = weight.abs().amax(dim=1, keepdim=True)
    torch.testing.assert_close(restored.abs().amax(dim=1, keepdim=True), largest)
    # Half a step of 1/127 of the largest; half of the last of three binary digits, or of the smallest number.
    bound = largest / 254 if kind == "int8" else torch.maximum(weight.abs() / 16, largest / 448 / 2**10)
    assert ((restored - weight).abs() <= bound * 1.0001).all()


@KINDS
def test_a_channel_of_zeros_stays_zero_and_one_that_is_not_finite_is_not_hidden(kind):
    weight = torch.tensor([[0.0, 0.0], [float("nan"), 1.0], [float("inf"), 1.0], [1.0, -1.0]])
    stored, scale = quantise(weight, LANGUAGE_WEIGHTS[kind])
    restored = stored.float() * scale[:, None]
    assert torch.equal(restored[0], torch.zeros(2))
    assert not restored[1].isfinite().all()
    assert not restored[2].isfinite().all()
    assert torch.equal(restored[3], weight[3])


@KINDS
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_multiplies_with_the_stored_weights(kind, bias):
    torch.manual_seed(1)
    linear = torch.nn.Linear(64, 32, bias=bias)
    layer = QuantisedLinear(linear, LANGUAGE_WEIGHTS[kind])
    weight, scale = quantise(linear.weight.detach(), LANGUAGE_WEIGHTS[kind])
    layer.load_state_dict({"weight": weight, "scale": scale} | ({"bias": linear.bias} if bias else {}))
    inputs = torch.randn(5, 3, 64)
    restored = weight.double() * scale.double()[:, None]
    expected = torch.nn.functional.linear(inputs.double(), restored, linear.bias.double() if bias else None)
    torch.testing.assert_close(layer(inputs).double(), expected, atol=1e-5, rtol=1e-5)
    rounded = layer(inputs.bfloat16())
    assert rounded.dtype == torch.bfloat16
    torch.testing.assert_close(rounded.double(), expected, atol=2e-2, rtol=2e-2)


@KINDS
@ARCHITECTURES
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_loaded_model_has_the_folders_weights_quantised_and_all_others_as_they_are(
    write_folder, config, architecture, kind, dtype
):
    config["llm_config"] |= {"architectures": [architecture], "pad_token_id": 0}
    torch.manual_seed(0)
    original = Sa2VAModel(Sa2VAModel.config_class(**config))
    tensors = official_state_dict(original.state_dict(), original.config.llm_config)
    folder = write_folder(tensors, llm_config=config["llm_config"])
    loaded = Sa2VAModel.load(folder, dtype=dtype, language_weights=kind)
    linear = {
        f"language_model.model.layers.{name}.weight"
        for name, module in original.language_model.model.layers.named_modules()
        if isinstance(module, torch.nn.Linear)
    }
    assert len(linear) in (8, 14)  # two layers of four (Phi3) or seven
    found = loaded.state_dict()
    for name, tensor in original.state_dict().items():
        if name in linear:
            weight, scale = quantise(tensor, LANGUAGE_WEIGHTS[kind])
            assert torch.equal(found.pop(name).float(), weight.float()), name
            assert torch.equal(found.pop(name.replace("weight", "scale")), scale), name
        else:
            stored = found.pop(name)
            assert torch.equal(stored, tensor.to(stored.dtype)), name
            assert stored.dtype == dtype or "positional_embedding" in name
    assert not found


def test_no_two_weights_are_in_memory_at_once_before_they_are_quantised(
    write_folder, official_tensors, monkeypatch
):
    read, alive = [], []
    materialise = core_model_loading._materialize_copy

    def remembering(*arguments, **settings):
        tensor = materialise(*arguments, **settings)
        read.append(weakref.ref(tensor))
        return tensor

    def counting(weight, dtype):
        gc.collect()
        alive.append(sum(each() is not None and each().shape == weight.shape for each in read))
        return quantise(weight, dtype)

    monkeypatch.setattr(core_model_loading, "_materialize_copy", remembering)
    monkeypatch.setattr(weights, "quantise", counting)
    folder = write_folder(
        {
            name: tensor
            for name, tensor in official_tensors.items()
            if "layers" in name and name.startswith("language_model")
        }
    )
    gc.collect()
    gc.freeze()  # whatever is there already: each collection looks at the weights alone
    with pytest.raises(UserError, match="lacks"):  # all that is read are the weights to be quantised
        Sa2VAModel.load(folder, dtype=torch.bfloat16, language_weights="int8")
    assert alive == [1] * 14


def test_a_missing_weight_is_named_once(write_folder, official_tensors):
    tensors = dict(official_tensors)
    name = "language_model.model.layers.1.mlp.up_proj.weight"
    del tensors[name]
    with pytest.raises(UserError) as error:
        Sa2VAModel.load(write_folder(tensors), dtype=torch.float32, language_weights="int8")
    assert str(error.value).endswith(f"it lacks {name}.")
