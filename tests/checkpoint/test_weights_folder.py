import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from refvessel.checkpoint.tensors import whole
from refvessel.checkpoint.weights_folder import read_weights
from refvessel.errors import UserError

WEIGHTS = {"a.weight": torch.randn(3, 4).bfloat16(), "b.bias": torch.randn(5), "b.weight": torch.randn(5, 2)}
SHARDS = {"1": ["a.weight"], "2": ["b.bias", "b.weight"]}
SINGLE = {"safetensors": "model.safetensors", "bin": "pytorch_model.bin"}


def save(tensors: dict[str, torch.Tensor], path: Path) -> None:
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path)


def write_shards(folder: Path, suffix: str, **changes) -> Path:
    """Two shards and their index, whose map has the changes."""
    stem = SINGLE[suffix].removesuffix(f".{suffix}")
    weight_map = {name: f"{stem}-{part}.{suffix}" for part, names in SHARDS.items() for name in names}
    for part, names in SHARDS.items():
        save({name: WEIGHTS[name] for name in names}, folder / f"{stem}-{part}.{suffix}")
    weight_map = {name: file for name, file in (weight_map | changes).items() if file}
    (folder / f"{SINGLE[suffix]}.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


def assert_holds_the_weights(folder: Path, files: list[str]) -> None:
    found, tensors = read_weights(folder)
    assert [path.name for path in found] == files
    assert tensors.keys() == WEIGHTS.keys()
    assert all(torch.equal(whole(tensors[name]), tensor) for name, tensor in WEIGHTS.items())


@pytest.mark.parametrize("name", SINGLE.values())
def test_a_single_file_is_read(name, tmp_path):
    save(WEIGHTS, tmp_path / name)
    assert_holds_the_weights(tmp_path, [name])


@pytest.mark.parametrize("suffix", SINGLE)
def test_shards_are_read(suffix, tmp_path):
    stem = SINGLE[suffix].removesuffix(f".{suffix}")
    write_shards(tmp_path, suffix)
    assert_holds_the_weights(
        tmp_path, [f"{SINGLE[suffix]}.index.json", f"{stem}-1.{suffix}", f"{stem}-2.{suffix}"]
    )


def test_of_both_formats_safetensors_are_read(tmp_path):
    save(WEIGHTS, tmp_path / "model.safetensors")
    write_shards(tmp_path, "bin")
    assert_holds_the_weights(tmp_path, ["model.safetensors"])


@pytest.mark.parametrize("suffix", SINGLE)
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"b.bias": None}, "disagree about the tensor b.bias"),
        ({"extra": "{stem}-1.{suffix}"}, "disagree about the tensor extra"),
        ({"extra": "{stem}-3.{suffix}"}, "{stem}-3.{suffix}"),
        ({"extra": "../{stem}.{suffix}"}, "not a file of its folder"),
        ({"extra": 5}, "not a file of its folder"),
    ],
)
def test_an_index_that_contradicts_its_shards_is_refused(changes, reason, suffix, tmp_path):
    names = {"stem": SINGLE[suffix].removesuffix(f".{suffix}"), "suffix": suffix}
    changes = {key: name.format(**names) if isinstance(name, str) else name for key, name in changes.items()}
    write_shards(tmp_path, suffix, **changes)
    with pytest.raises(UserError) as caught:
        read_weights(tmp_path)
    assert reason.format(**names) in str(caught.value)


def test_a_folder_with_two_sets_of_weights_or_none_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"none of model\.safetensors, pytorch_model\.bin"):
        read_weights(tmp_path)
    with pytest.raises(UserError, match="not a folder"):
        read_weights(tmp_path / "absent")
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(UserError, match="weight_map"):
        read_weights(tmp_path)
    save(WEIGHTS, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="both"):
        read_weights(tmp_path)


def test_a_torch_file_that_holds_no_tensors_by_name_is_refused(tmp_path):
    torch.save([torch.ones(2)], tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="no tensors by name"):
        read_weights(tmp_path)
