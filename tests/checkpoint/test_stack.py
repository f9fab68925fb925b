from pathlib import Path

import pytest
import torch

from refvessel.checkpoint.layer_names import VOCABULARY, Address, Part
from refvessel.checkpoint.layers import Layer
from refvessel.checkpoint.stack import stack, superseded
from refvessel.checkpoint.tensors import StoredTensor, contiguous_stride
from refvessel.checkpoint.training_config import LoraSettings, TrainingConfig
from refvessel.errors import UserError

RANK = 2
LORA = TrainingConfig("qwen_chat", (), LoraSettings(RANK, 4.0, False))
PLAIN = TrainingConfig("qwen_chat", ())
A, B = Part.LORA_A, Part.LORA_B
SHAPES = {"w": (3, 5), "v": (4,)}


def layer(name: str, shapes: dict, config: TrainingConfig | None = None) -> Layer:
    path = Path(f"{name}.pth")
    addresses = {key if isinstance(key, tuple) else (key, Part.VALUE): shape for key, shape in shapes.items()}
    tensors = {
        Address(*key): StoredTensor(path, 100 * index, torch.float32, shape, contiguous_stride(shape))
        for index, (key, shape) in enumerate(addresses.items())
    }
    return Layer(name, path, (path,), tensors, {address: "/".join(address) for address in tensors}, config)


def base(**shapes) -> Layer:
    return layer("base_mllm", {"w": (3, 5)} | shapes)


SAM2 = layer("sam2", {"v": (4,)})
PAIR = {("w", A): (RANK, 5), ("w", B): (3, RANK)}


def refusal(*layers: Layer, shapes=SHAPES) -> str:
    with pytest.raises(UserError) as caught:
        stack(layers, shapes)
    return str(caught.value)


def test_the_later_layer_wins():
    pretrained, trained = layer("pretrained", {"w": (3, 5), "v": (4,)}), layer("trained", {"v": (4,)}, PLAIN)
    sources = stack([base(), SAM2, pretrained, trained], SHAPES)
    assert {name: source.label for name, source in sources.items()} == {"w": "pretrained", "v": "trained"}
    assert sources["w"].base.path == Path("base_mllm.pth")
    assert superseded(pretrained, sources) == ["v/value"]
    assert superseded(trained, sources) == []


def test_a_lora_pair_changes_the_value_below_it():
    source = stack([base(), SAM2, layer("trained", PAIR, LORA)], SHAPES)["w"]
    assert source.label == "lora_merged"
    assert source.value.path == Path("base_mllm.pth")
    assert (source.update.layer, source.update.scale) == ("trained", 2.0)


def test_a_later_lora_pair_replaces_an_earlier_one():
    pretrained = layer("pretrained", {"w": (3, 5), **PAIR}, LORA)
    sources = stack([base(), SAM2, pretrained, layer("trained", PAIR, LORA)], SHAPES)
    assert sources["w"].update.layer == "trained"
    assert sources["w"].value.path == Path("pretrained.pth")
    assert superseded(pretrained, sources) == ["w/lora_A", "w/lora_B"]


def test_an_earlier_lora_pair_holds_where_no_later_layer_speaks():
    pretrained = layer("pretrained", PAIR, LORA)
    assert (
        stack([base(), SAM2, pretrained, layer("trained", {}, PLAIN)], SHAPES)["w"].update.layer
        == "pretrained"
    )


def test_a_later_value_replaces_value_and_lora_pair():
    source = stack(
        [base(), SAM2, layer("pretrained", PAIR, LORA), layer("trained", {"w": (3, 5)}, PLAIN)], SHAPES
    )["w"]
    assert (source.label, source.update) == ("trained", None)


def test_a_tensor_without_a_place_is_named():
    assert "trained.pth holds x/value" in refusal(base(), SAM2, layer("trained", {"x": (1,)}, PLAIN))


def test_a_lora_pair_without_a_place_is_named():
    assert "x/lora_A" in refusal(
        base(), SAM2, layer("trained", {("x", A): (RANK, 5), ("x", B): (3, RANK)}, LORA)
    )


def test_a_missing_tensor_is_named():
    message = refusal(base(), SAM2, shapes=SHAPES | {"missing": (1,)})
    assert "holds missing;" in message
    assert "base_mllm.pth, sam2.pth" in message


@pytest.mark.parametrize("shape", [(3, 4), (5, 3), (15,), (3, 5, 1)])
def test_another_shape_is_refused_even_where_it_is_superseded(shape):
    assert f"of shape {list(shape)}" in refusal(base(w=shape), SAM2, layer("trained", {"w": (3, 5)}, PLAIN))


@pytest.mark.parametrize("name", sorted(VOCABULARY))
def test_the_vocabulary_of_the_base_may_be_smaller_where_it_is_superseded(name):
    shapes = SHAPES | {name: (12, 5)}
    trained = layer("trained", {name: (12, 5)}, PLAIN)
    assert stack([base(**{name: (7, 5)}), SAM2, trained], shapes)[name].label == "trained"
    assert "No layer supplies" in refusal(base(**{name: (7, 5)}), SAM2, shapes=shapes)
    assert "of shape [7, 4]" in refusal(base(**{name: (7, 4)}), SAM2, trained, shapes=shapes)
    assert "of shape [7, 5]" in refusal(base(), SAM2, layer("trained", {name: (7, 5)}, PLAIN), shapes=shapes)


@pytest.mark.parametrize("part", [A, B])
def test_a_lora_factor_alone_is_named(part):
    trained = layer("trained", {("w", part): PAIR["w", part]}, LORA)
    assert f"holds w/{part} without its other LoRA factor" in refusal(base(), SAM2, trained)


def test_lora_factors_without_settings_are_refused():
    assert "states no LoRA" in refusal(base(), SAM2, layer("trained", PAIR, PLAIN))
    assert "states no LoRA" in refusal(base(), SAM2, layer("pretrained", PAIR), layer("trained", {}, LORA))


@pytest.mark.parametrize(
    "pair",
    [
        {("w", A): (3, 5), ("w", B): (3, 3)},  # rank 3, stated 2
        {("w", A): (RANK, 6), ("w", B): (3, RANK)},
        {("w", A): (RANK, 5), ("w", B): (4, RANK)},
        {("w", A): (5, RANK), ("w", B): (RANK, 3)},
    ],
)
def test_lora_factors_of_another_rank_or_size_are_refused(pair):
    assert "r = 2" in refusal(base(), SAM2, layer("trained", pair, LORA))


def test_a_lora_pair_on_a_vector_is_refused():
    assert "for v" in refusal(
        base(), SAM2, layer("trained", {("v", A): (RANK, 1), ("v", B): (4, RANK)}, LORA)
    )
