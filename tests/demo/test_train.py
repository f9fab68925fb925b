import re

import pytest
from demo_checkpoint import network
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
