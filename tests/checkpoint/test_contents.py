import pickle

import pytest
import torch

from refvessel.checkpoint import tensors
from refvessel.checkpoint.contents import describe, read_contents
from refvessel.errors import UserError


@pytest.fixture(autouse=True)
def no_tensor_is_read(monkeypatch):
    def fail(*arguments):
        raise AssertionError("a tensor was read")

    monkeypatch.setattr(tensors.StoredTensor, "rows", fail)


def test_a_training_checkpoint_is_described(layers):
    text = describe(layers.checkpoint)
    head, config, lora, *_ = text.splitlines()
    assert head.startswith(f"{layers.checkpoint}: training checkpoint, 185 tensors, ")
    assert config == "training config: template internlm2_chat, special tokens [SEG] <p> </p> <vp> </vp>"
    assert lora == "language model: LoRA of rank 8, alpha 16 (scale 2); vision encoder: no LoRA"
    assert "meta: seed=7, epoch=0, iter=320" in text
    assert "param_schedulers: 1 entries" in text
    row = next(line for line in text.splitlines() if "q_proj.lora_A" in line)
    assert row.split() == [
        "mllm.model.language_model.base_model.model.model.layers.*.self_attn.q_proj.lora_A.default.weight",
        "3",
        "8x64",
        "float32",
    ]


def test_every_kind_is_told(layers):
    kinds = {
        layers.base_mllm: "Hugging Face folder",
        layers.base_mllm / "model.safetensors": "safetensors file",
        layers.sam2: "SAM2 checkpoint",
        layers.checkpoint: "training checkpoint",
    }
    for path, kind in kinds.items():
        assert read_contents(path).kind == kind
        assert f": {kind}, " in describe(path)


def test_a_zero_folder_is_described(tmp_path):
    weights = {"text_hidden_fcs.0.bias": torch.ones(3), "text_hidden_fcs.2.bias": torch.ones(4)}
    torch.save({"module": weights}, tmp_path / "mp_rank_00_model_states.pt")
    text = describe(tmp_path)
    assert "DeepSpeed ZeRO folder, 2 tensors, 7 parameters" in text
    assert text.splitlines()[-1].split() == [
        "text_hidden_fcs.*.bias",
        "2",
        "3",
        "and",
        "1",
        "more",
        "float32",
    ]


def test_a_training_config_that_cannot_be_used_is_told(tmp_path):
    torch.save({"state_dict": {"a": torch.ones(())}, "meta": {"cfg": "x = ("}}, tmp_path / "a.pth")
    text = describe(tmp_path / "a.pth")
    assert "not Python text" in text
    assert "scalar" in text


def test_nothing_that_the_file_names_is_called(archive, tmp_path):
    program = f"(dVstate_dict\n(dsVx\ncos\nsystem\n(Vtouch {tmp_path}/marker\ntRs.".encode()
    assert "x: Inert" in describe(archive(program))
    assert not (tmp_path / "marker").exists()


def test_a_file_without_tensors_is_refused(archive):
    with pytest.raises(UserError, match="no dict 'state_dict'"):
        describe(archive(pickle.dumps([1, 2])))
