import copy
import json
import subprocess
import sys
import zipfile

import pytest
import torch
from demo_checkpoint.layers import write_layers
from demo_checkpoint.lora import add_updates, remove_updates
from demo_checkpoint.network import LORA_ALPHA, LORA_RANK
from demo_checkpoint.train import new_model, train_words
from safetensors.torch import load_file
from stages import convert_checkpoint

from refvessel.model.modeling import Sa2VAModel
from refvessel.model.official_tensors import official_state_dict
from refvessel.model.processing import Sa2VAProcessor


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Layers of a model that was fine-tuned by noise, and the official state of that model."""
    folder = tmp_path_factory.mktemp("layers")
    torch.manual_seed(1)
    words = train_words()
    model = new_model(words)[2]
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.copy_(tensor.to(torch.bfloat16))
        pretrained = copy.deepcopy(model.state_dict())
        factors = add_updates(model.language_model, LORA_RANK, LORA_ALPHA)
        for tensor in (*factors, model.text_hidden_fcs[0].weight, model.language_model.lm_head.weight):
            tensor += 0.01 * torch.randn_like(tensor)
    updates = remove_updates(model.language_model)
    merged = copy.deepcopy(model)
    for name, (a, b) in updates.items():
        merged.language_model.get_submodule(name).weight.data += LORA_ALPHA / LORA_RANK * b @ a
    write_layers(
        folder,
        words=words,
        pretrained=pretrained,
        tuned=model.state_dict(),
        updates=updates,
        losses=[2.0, 1.0, 0.5],
        seed=1,
    )
    return folder, official_state_dict(merged.state_dict())


@pytest.fixture(scope="module")
def converted(written, tmp_path_factory):
    folder, _ = written
    output = tmp_path_factory.mktemp("converted") / "model"
    convert_checkpoint(
        base_mllm=folder / "base_mllm",
        sam2=folder / "sam2_hiera_demo.pt",
        pretrained=None,
        checkpoint=folder / "iter_3.pth",
        output=output,
        dtype="float32",
    )
    return output


def test_converting_the_layers_gives_the_model_that_was_fine_tuned(written, converted):
    _, expected = written
    found = {}
    for file in converted.glob("*.safetensors"):
        found |= load_file(file)
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=1e-6, msg=name)


def test_the_converted_folder_loads_with_its_tokenizer(converted):
    model = Sa2VAModel.load(converted, dtype=torch.float32)
    processor = Sa2VAProcessor.from_pretrained(converted)
    assert model.config.llm_config.vocab_size == processor.seg_token_id + 5


def test_the_base_lacks_the_five_tokens_and_stores_bfloat16(written):
    folder, expected = written
    base = load_file(folder / "base_mllm" / "model.safetensors")
    config = json.loads((folder / "base_mllm" / "config.json").read_text("utf-8"))
    rows = len(expected["language_model.lm_head.weight"]) - 5
    assert len(base["language_model.lm_head.weight"]) == rows == config["llm_config"]["vocab_size"]
    assert {tensor.dtype for tensor in base.values()} == {torch.bfloat16}
    assert "[SEG]" not in (folder / "base_mllm" / "tokenizer.json").read_text("utf-8")


def test_the_layers_are_twelve_megabytes_at_most(written):
    folder, _ = written
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 12e6


def test_the_checkpoint_holds_an_mmengine_object_as_real_ones_do(written):
    folder, _ = written
    with zipfile.ZipFile(folder / "iter_3.pth") as archive:
        (pickled,) = [name for name in archive.namelist() if name.endswith("data.pkl")]
        assert b"mmengine.logging.history_buffer" in archive.read(pickled)
    assert "mmengine" not in sys.modules
    loading = f"import torch; torch.load({str(folder / 'iter_3.pth')!r}, weights_only=False)"
    outcome = subprocess.run([sys.executable, "-c", loading], capture_output=True, text=True, check=False)
    assert "No module named 'mmengine'" in outcome.stderr
