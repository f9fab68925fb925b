import re
import shutil

import pytest
import torch
from demo_checkpoint import network
from demo_checkpoint.memory import train_memory
from demo_checkpoint.train import train

from refvessel.files import sha256_of_file


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Layers of a run of four steps on a model of a sixteenth of the pixels, validated on two images."""
    output = tmp_path_factory.mktemp("train") / "layers"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(network._GROUNDING, "image_size", 256)
        patch.setattr("demo_checkpoint.train.VALIDATION_IMAGES", 2)
        train(output=output, device="cpu", steps=4, batch_size=1, seed=7)
    return output


def test_a_run_leaves_the_three_layers_and_their_readme(folder):
    assert {path.name for path in folder.iterdir()} == {
        "base_mllm",
        "sam2_hiera_demo.pt",
        "iter_1.pth",
        "README.md",
    }


def test_the_readme_states_command_and_hash_of_each_file(folder):
    text = (folder / "README.md").read_text("utf-8")
    assert "--device cpu --steps 4 --batch-size 1 --seed 7" in text
    hashes = dict(re.findall(r"\| `([^`]+)` \| [\d,]+ \| `([0-9a-f]{64})` \|", text))
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "README.md"]
    assert hashes == {str(path.relative_to(folder)): sha256_of_file(path) for path in files}


def test_training_the_memory_changes_nothing_else(folder, tmp_path):
    layers = tmp_path / "layers"
    shutil.copytree(folder, layers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(network._GROUNDING, "image_size", 256)
        # After four steps it answers no [SEG].
        patch.setattr("demo_checkpoint.runs._states", lambda *_: torch.ones(2, 64))
        train_memory(layers=layers, runs=1, frames=6, steps=1, seed=7)
    before, after = (
        torch.load(each / "sam2_hiera_demo.pt", weights_only=True)["model"] for each in (folder, layers)
    )
    changed = {name.split(".")[0] for name in after if not torch.equal(before[name], after[name])}
    assert changed == {
        "memory_attention",
        "memory_encoder",
        "maskmem_tpos_enc",
        "obj_ptr_proj",
        "no_obj_ptr",
    }
    for name in ("iter_1.pth", "base_mllm/model.safetensors"):
        assert (layers / name).read_bytes() == (folder / name).read_bytes()
    assert "--runs 1 --frames 6 --steps 1 --seed 7" in (layers / "README.md").read_text("utf-8")
