import pytest
import torch

from refvessel.checkpoint.layers import (
    read_pretrained_layer,
    read_sam2_layer,
    read_trained_layer,
)
from refvessel.errors import UserError


@pytest.mark.parametrize(
    ("read", "content", "reason"),
    [
        (read_sam2_layer, {"state_dict": {}}, "no dict 'model'"),
        (read_sam2_layer, [1], "no dict 'model'"),
        (read_sam2_layer, {"model": {"w": None}}, "holds 'w' among its weights"),
        (read_sam2_layer, {"model": {5: torch.ones(1)}}, "holds 5 among its weights"),
        (read_sam2_layer, {"model": {"w": torch.ones(1, dtype=torch.int8)}}, r"holds w as torch\.int8"),
        (read_trained_layer, {"meta": {"cfg": ""}}, "no dict 'state_dict'"),
        (read_trained_layer, {"state_dict": {}}, r"no training config in meta\.cfg"),
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
