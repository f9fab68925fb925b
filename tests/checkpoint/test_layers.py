import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from refvessel.checkpoint.layers import (
    read_base_layer,
    read_pretrained_layer,
    read_sam2_layer,
    read_trained_layer,
)
from refvessel.errors import UserError


def shard(folder, change=lambda weight_map: None):
    """Split model.safetensors into two shards and an index, which `change` may falsify."""
    weights = load_file(folder / "model.safetensors")
    names = sorted(weights)
    files = {"model-1.safetensors": names[:40], "model-2.safetensors": names[40:]}
    for file, part in files.items():
        save_file({name: weights[name] for name in part}, folder / file)
    (folder / "model.safetensors").unlink()
    weight_map = {name: file for file, part in files.items() for name in part}
    change(weight_map)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_a_sharded_base_is_the_same_layer_as_a_single_file(layers, base_copy):
    shard(base_copy)
    single, sharded = read_base_layer(layers.base_mllm), read_base_layer(base_copy)
    assert sharded.tensors.keys() == single.tensors.keys()
    assert all(sharded.tensors[key].shape == tensor.shape for key, tensor in single.tensors.items())
    assert [path.name for path in sharded.files] == [
        "model.safetensors.index.json",
        "model-1.safetensors",
        "model-2.safetensors",
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda weight_map: weight_map.pop("mlp1.0.bias"), "disagree about the tensor mlp1.0.bias"),
        (
            lambda weight_map: weight_map.update(extra="model-1.safetensors"),
            "disagree about the tensor extra",
        ),
        (lambda weight_map: weight_map.update(extra="model-3.safetensors"), "does not exist"),
        (lambda weight_map: weight_map.update(extra="../model.safetensors"), "not a file of its folder"),
        (lambda weight_map: weight_map.update(extra=5), "not a file of its folder"),
    ],
)
def test_an_index_that_contradicts_its_shards_is_refused(change, reason, base_copy):
    shard(base_copy, change)
    with pytest.raises(UserError, match=reason):
        read_base_layer(base_copy)


def test_a_base_with_two_sets_of_weights_or_none_is_refused(base_copy):
    (base_copy / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(UserError, match="both"):
        read_base_layer(base_copy)
    (base_copy / "model.safetensors").unlink()
    with pytest.raises(UserError, match="weight_map"):
        read_base_layer(base_copy)
    (base_copy / "model.safetensors.index.json").unlink()
    with pytest.raises(UserError, match="save the base model as safetensors"):
        read_base_layer(base_copy)


@pytest.mark.parametrize(
    ("read", "content", "reason"),
    [
        (read_sam2_layer, {"state_dict": {}}, "no dict 'model'"),
        (read_sam2_layer, [1], "no dict 'model'"),
        (read_sam2_layer, {"model": {"w": None}}, "holds 'w' among its weights"),
        (read_sam2_layer, {"model": {5: torch.ones(1)}}, "holds 5 among its weights"),
        (read_sam2_layer, {"model": {"w": torch.ones(1, dtype=torch.int8)}}, r"holds w as torch\.int8"),
        (read_trained_layer, {"meta": {"cfg": ""}}, "no dict 'state_dict'"),
        (read_trained_layer, {"state_dict": {}}, "no dict 'meta'"),
        (read_trained_layer, {"state_dict": {}, "meta": {}}, r"no training config in meta\.cfg"),
        (read_pretrained_layer, {"state_dict": 1}, "no dict 'state_dict'"),
        (
            read_pretrained_layer,
            {"mllm.model.mlp1.0.bias": torch.ones(1), "mlp1.0.bias": torch.ones(1)},
            "holds mlp1.0.bias and mllm.model.mlp1.0.bias, which are one tensor",
        ),
    ],
)
def test_a_file_of_another_kind_is_refused(read, content, reason, tmp_path):
    torch.save(content, tmp_path / "file.pth")
    with pytest.raises(UserError, match=reason) as caught:
        read(tmp_path / "file.pth")
    assert str(tmp_path / "file.pth") in str(caught.value)


def test_a_pretrained_checkpoint_may_be_bare(tmp_path):
    torch.save({"text_hidden_fcs.0.bias": torch.ones(3)}, tmp_path / "bare.pth")
    torch.save({"state_dict": {"text_hidden_fcs.0.bias": torch.ones(3)}}, tmp_path / "wrapped.pth")
    assert (
        read_pretrained_layer(tmp_path / "bare.pth").names
        == read_pretrained_layer(tmp_path / "wrapped.pth").names
    )
