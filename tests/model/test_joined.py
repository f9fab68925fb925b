"""Layers of the same inputs are one matmul as long as their weights lie one behind the other."""

import pytest
import torch
from torch import nn

from refvessel.model.joined import join, joined, keep_at_hand, project


def layers(bias):
    owner = nn.Module()
    owner.a, owner.b, owner.c = (nn.Linear(8, width, bias=bias) for width in (6, 2, 4))
    return owner, [owner.a, owner.b, owner.c]


@pytest.mark.parametrize("bias", [True, False])
def test_joined_layers_keep_their_values_and_make_the_same(bias):
    owner, parts = layers(bias)
    before = {name: tensor.clone() for name, tensor in owner.state_dict().items()}
    inputs = torch.randn(3, 5, 8)
    expected = [layer(inputs) for layer in parts]
    assert joined(parts) is None
    join(parts)
    weight, _ = joined(parts)
    assert weight.data_ptr() == owner.a.weight.data_ptr()
    assert all(torch.equal(tensor, before[name]) for name, tensor in owner.state_dict().items())
    for found, correct in zip(project(owner, parts, inputs), expected, strict=True):
        torch.testing.assert_close(found, correct)


def test_a_weight_that_another_model_shares_is_used_and_no_longer_joined():
    owner, parts = layers(bias=True)
    join(parts)
    owner.b.weight = nn.Parameter(torch.randn(2, 8))
    assert joined(parts) is None
    inputs = torch.randn(5, 8)
    assert torch.equal(project(owner, parts, inputs)[1], owner.b(inputs))
    keep_at_hand(owner, parts)
    assert owner.joined_at_hand is None


def test_other_layers_stay_as_they_are():
    mixed = [nn.Linear(8, 6), nn.Identity()]
    join(mixed)
    assert joined(mixed) is None
