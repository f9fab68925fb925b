import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from refvessel.checkpoint.compare import compare_checkpoints
from refvessel.errors import UserError


@pytest.fixture
def pair(tmp_path):
    """Write two safetensors files and compare them."""

    def compare(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]):
        save_file(a, tmp_path / "a.safetensors")
        save_file(b, tmp_path / "b.safetensors")
        return compare_checkpoints(tmp_path / "a.safetensors", tmp_path / "b.safetensors")

    return compare


def test_equal_checkpoints_differ_in_nothing(pair):
    tensors = {"a": torch.randn(4, 3), "b": torch.tensor([math.nan, math.inf, -math.inf])}
    comparison = pair(tensors, tensors)
    assert comparison.differences == ()
    assert comparison.text() == "0 of 2 tensors differ: the checkpoints hold the same."


def test_one_element_of_one_tensor_is_named_with_its_size(layers, changed, tmp_path):
    def nudge(content):
        content["state_dict"]["text_hidden_fcs.0.bias"][3] += 0.25

    for name, changes in (("a", {}), ("b", {"checkpoint": changed(layers.checkpoint, nudge)})):
        layers.convert(tmp_path / name, **changes)
    comparison = compare_checkpoints(tmp_path / "a", tmp_path / "b")
    (difference,) = comparison.differences
    assert difference.name == "text_hidden_fcs.0.bias"
    assert difference.greatest == pytest.approx(0.25, abs=1e-6)
    bias = load_file(tmp_path / "a/model.safetensors")["text_hidden_fcs.0.bias"]
    assert difference.relative == pytest.approx(0.25 / bias.norm().item(), rel=1e-5)
    head, _, row = comparison.text().splitlines()
    assert head == "1 of 503 tensors differ"
    assert row.split() == ["1", "of", "2", "0.25", f"{difference.relative:.3g}", "text_hidden_fcs.0.bias"]


def test_measures_are_those_of_the_whole_tensors(pair):
    a, b = torch.randn(300, 7000).bfloat16(), torch.randn(300, 7000)
    (difference,) = pair({"w": a}, {"w": b}).differences
    gap = a.double() - b.double()
    assert difference.greatest == gap.abs().max().item()
    assert difference.relative == pytest.approx((gap.norm() / a.double().norm()).item(), rel=1e-12)
    assert difference.note == "bfloat16 in A, float32 in B"


@pytest.mark.parametrize(
    ("a", "b", "note"),
    [
        ({"w": torch.ones(2)}, {}, "only in A"),
        ({}, {"w": torch.ones(2)}, "only in B"),
        ({"w": torch.ones(2, 3)}, {"w": torch.ones(3, 2)}, "[2, 3] in A, [3, 2] in B"),
        ({"w": torch.ones(2)}, {"w": torch.ones(2).bfloat16()}, "float32 in A, bfloat16 in B"),
        ({"w": torch.ones(2)}, {"w": torch.tensor([1, math.nan])}, ""),
        ({"w": torch.ones(2)}, {"w": torch.tensor([1, math.inf])}, ""),
        ({"w": torch.zeros(2)}, {"w": torch.ones(2)}, ""),
    ],
)
def test_whatever_differs_is_told(a, b, note, pair):
    same = {"same": torch.ones(1)}
    comparison = pair(a | same, b | same)
    assert [each.note for each in comparison.differences] == [note]
    assert "1 of 2 tensors differ" in comparison.text()
    assert note in comparison.text()


def test_layers_are_compared_by_their_official_names(layers, make_layers, tmp_path):
    layers.convert(tmp_path / "out")
    assert compare_checkpoints(layers.checkpoint, layers.checkpoint).differences == ()
    differing = {
        each.name: each.note for each in compare_checkpoints(layers.sam2, tmp_path / "out").differences
    }
    assert "grounding_encoder.sam2_model.no_mem_embed" not in differing
    assert differing["mlp1.0.bias"] == "only in B"
    peft = make_layers(peft_names=True)
    assert compare_checkpoints(layers.checkpoint, peft.checkpoint).differences == ()


def test_the_text_is_one_screen_grouped_by_module(pair):
    a = {f"layers.{n}.part{m}.weight": torch.randn(3) for n in range(4) for m in range(40)}
    b = {name: tensor + 1 for name, tensor in a.items()}
    lines = pair(a, b).text().splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 100
    assert lines[0] == "160 of 160 tensors differ"
    assert lines[2].startswith("4 of 4 ")
    assert lines[-1] == "and 22 more modules with 88 differing tensors"
    relative = [float(line.split()[4]) for line in lines[2:-1]]
    assert relative == sorted(relative, reverse=True)


def test_checkpoints_without_a_common_tensor_are_refused(pair):
    with pytest.raises(UserError, match="no tensor in common"):
        pair({"a": torch.ones(1)}, {"b": torch.ones(1)})


def test_an_absent_checkpoint_is_refused(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        compare_checkpoints(tmp_path / "absent", Path(tmp_path))
