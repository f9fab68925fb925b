import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from refvessel.checkpoint.link import link_checkpoint
from refvessel.errors import UserError
from refvessel.files import sha256_of_file
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.processing import Sa2VAProcessor


@pytest.fixture(scope="module")
def official(layers, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("official") / "model"
    layers.convert(folder, dtype="bfloat16")
    return folder


@pytest.fixture
def copy(official, tmp_path) -> Path:
    """An official folder as it is downloaded: no conversion.json, and code of its own."""
    folder = Path(shutil.copytree(official, tmp_path / "downloaded"))
    (folder / "conversion.json").unlink()
    (folder / "modeling_sa2va_chat.py").write_text("raise SystemExit")
    return folder


def test_the_links_are_the_same_model_as_its_conversion(official, copy, tmp_path):
    report = link_checkpoint(folder=copy, output=tmp_path / "out")
    converted = json.loads((official / "conversion.json").read_text())
    assert report["identity"] == converted["identity"]
    for name, entry in converted["tensors"].items():
        assert {key: report["tensors"][name][key] for key in ("shape", "dtype", "sha256")} == {
            key: entry[key] for key in ("shape", "dtype", "sha256")
        }
    assert report["parameters"] == converted["parameters"]
    assert json.loads((tmp_path / "out/conversion.json").read_text()) == report


def test_files_are_linked_with_their_hashes_and_code_stays_behind(copy, tmp_path):
    report = link_checkpoint(folder=copy, output=tmp_path / "out")
    linked = {path.name for path in (tmp_path / "out").iterdir() if path.is_symlink()}
    assert linked == {path.name for path in copy.iterdir()} - {"modeling_sa2va_chat.py"}
    assert {record["name"] for record in report["inputs"]} == linked
    for record in report["inputs"]:
        assert record["sha256"] == sha256_of_file(copy / record["name"])


def test_a_linked_model_loads(copy, tmp_path):
    link_checkpoint(folder=copy, output=tmp_path / "out")
    model = Sa2VAModel.load(tmp_path / "out", dtype=torch.float32)
    assert Sa2VAProcessor.from_pretrained(tmp_path / "out").seg_token_id == 344
    assert model.config.template == "internlm2_chat"


def test_a_link_may_be_made_again_and_of_a_conversion(official, tmp_path):
    first = link_checkpoint(folder=official, output=tmp_path / "out")
    assert link_checkpoint(folder=official, output=tmp_path / "out") == first


def edit_weights(folder: Path, change) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def edit_json(folder: Path, name: str, **changes) -> None:
    (folder / name).write_text(json.dumps(json.loads((folder / name).read_text()) | changes))


def forget_tokens(folder: Path) -> None:
    for name in ("tokenizer.json", "added_tokens.json", "tokenizer_config.json"):
        path = folder / name
        path.write_text(path.read_text().replace("[SEG]", "[SAG]"))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: edit_weights(folder, lambda x: x.pop("mlp1.0.bias")), r"lacks mlp1\.0\.bias;"),
        (lambda folder: edit_weights(folder, lambda x: x.update(a=torch.ones(1))), "has unknown a;"),
        (
            lambda folder: edit_weights(folder, lambda x: x.update({"mlp1.1.bias": torch.ones(63)})),
            r"mlp1\.1\.bias of shape \[63\] where its config\.json describes \[64\]",
        ),
        (
            lambda folder: edit_weights(folder, lambda x: x.update({"mlp1.1.bias": x["mlp1.1.bias"].char()})),
            r"mlp1\.1\.bias as torch\.int8",
        ),
        (lambda folder: edit_json(folder, "config.json", model_type="internvl_chat"), "model_type is not"),
        (lambda folder: edit_json(folder, "config.json", template="vicuna"), "template 'vicuna'"),
        (lambda folder: edit_json(folder, "config.json", llm_config={"hidden_size": "wide"}), "no model"),
        (forget_tokens, r"without the tokens \[SEG\]"),
        (lambda folder: (folder / "config.json").unlink(), "does not exist"),
        (lambda folder: (folder / "model.safetensors").unlink(), "has none of"),
        (lambda folder: (folder / "tokenizer_config.json").unlink(), "no whole tokenizer"),
        (
            lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
            "not a checkpoint",
        ),
    ],
)
def test_a_folder_that_is_no_whole_sa2va_is_refused(damage, reason, copy, tmp_path):
    damage(copy)
    with pytest.raises(UserError, match=reason):
        link_checkpoint(folder=copy, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pytorch_weights_are_refused(copy, tmp_path):
    torch.save(load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    with pytest.raises(UserError, match="save them as safetensors"):
        link_checkpoint(folder=copy, output=tmp_path / "out")


def test_a_conversion_that_was_changed_afterwards_is_refused(official, tmp_path):
    folder = Path(shutil.copytree(official, tmp_path / "changed"))

    def nudge(tensors):
        tensors["mlp1.0.bias"][0] += 1

    edit_weights(folder, nudge)
    with pytest.raises(UserError, match=r"conversion\.json tells of another model"):
        link_checkpoint(folder=folder, output=tmp_path / "out")


def test_an_output_that_holds_the_folder_is_refused(copy, tmp_path):
    for output in (copy, tmp_path):
        with pytest.raises(UserError, match="holds the inputs"):
            link_checkpoint(folder=copy, output=output)
    assert (copy / "model.safetensors").is_file()
