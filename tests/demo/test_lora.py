import torch
from demo_checkpoint.lora import add_updates, remove_updates
from torch import nn


def _layer() -> nn.Module:
    torch.manual_seed(0)
    return nn.ModuleDict({"q_proj": nn.Linear(12, 20, bias=False), "other": nn.Linear(12, 20, bias=False)})


def test_an_update_changes_nothing_at_first():
    layer, x = _layer(), torch.randn(3, 12)
    before = layer["q_proj"](x)
    assert len(add_updates(layer, rank=4, alpha=8)) == 2  # `other` has none
    torch.testing.assert_close(layer["q_proj"](x), before)


def test_the_updated_layer_computes_w0_plus_scaled_b_a():
    layer, x = _layer(), torch.randn(3, 12)
    w0 = layer["q_proj"].weight.detach().clone()
    for factor in add_updates(layer, rank=4, alpha=8):
        nn.init.normal_(factor)
    y = layer["q_proj"](x)
    ((name, (a, b)),) = remove_updates(layer).items()
    assert name == "q_proj"
    assert (a.shape, b.shape) == ((4, 12), (20, 4))
    torch.testing.assert_close(y, x @ (w0 + 2 * b @ a).T)


def test_removing_the_update_restores_the_weight():
    layer = _layer()
    w0 = layer["q_proj"].weight.detach().clone()
    for factor in add_updates(layer, rank=4, alpha=8):
        nn.init.normal_(factor)
    remove_updates(layer)
    torch.testing.assert_close(layer["q_proj"].weight, w0, rtol=0, atol=0)
    assert [name for name, _ in layer.named_parameters()] == ["q_proj.weight", "other.weight"]
