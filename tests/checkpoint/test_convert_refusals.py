"""What a user can get wrong, what is hostile and what breaks off: one sentence, and nothing written."""

import json
import multiprocessing
import os
import pickle
import shutil
import signal
import zipfile
from pathlib import Path

import pytest
import torch

from refvessel.checkpoint import convert, shards
from refvessel.errors import UserError

EMBEDDING = "mllm.model.language_model.base_model.model.model.embed_tokens.modules_to_save.default.weight"
Q_PROJ = "mllm.model.language_model.base_model.model.model.layers.0.self_attn.q_proj"


def edit_config(folder: Path, **changes) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture
def refusal(layers, tmp_path):
    """Convert with changes; returns the text of the error, having checked that nothing was left behind."""

    def refuse(**changes) -> str:
        place = tmp_path / "place"
        with pytest.raises(UserError) as caught:
            layers.convert(place / "out", **changes)
        assert not place.exists() or not list(place.iterdir())
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return refuse


@pytest.mark.parametrize("name", ["base_mllm", "sam2", "pretrained", "checkpoint"])
def test_a_missing_input_is_named(name, refusal, tmp_path):
    assert "absent" in refusal(**{name: tmp_path / "absent"})


def test_files_in_each_others_place_are_refused(layers, refusal):
    assert "no dict 'state_dict'" in refusal(checkpoint=layers.sam2)
    assert "no dict 'model'" in refusal(sam2=layers.checkpoint)
    assert "not a folder" in refusal(base_mllm=layers.sam2)
    assert "not a file" in refusal(sam2=layers.base_mllm)


def test_an_unknown_dtype_is_refused(refusal):
    assert "float16" in refusal(dtype="float16")


def without(*names):
    return lambda content: [content["state_dict"].pop(name) for name in names]


def with_tensors(**tensors):
    return lambda content: content["state_dict"].update(tensors)


def config_text(old: str, new: str):
    def replace(content):
        assert old in content["meta"]["cfg"]
        content["meta"]["cfg"] = content["meta"]["cfg"].replace(old, new)

    return replace


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda content: content.pop("state_dict"), "no dict 'state_dict'"),
        (lambda content: content["meta"].pop("cfg"), "no training config"),
        (without(f"{Q_PROJ}.lora_B.default.weight"), "without its other LoRA factor"),
        (without("text_hidden_fcs.0.bias"), "holds text_hidden_fcs.0.bias;"),
        (without(EMBEDDING), "No layer supplies language_model.model.embed_tokens.weight with the 349 rows"),
        (config_text("r=8", "r=16"), "r = 16"),
        (config_text("'<vp>'", "'<region>'"), "<region>"),
        (config_text("lora_alpha=16", "lora_alpha=f(16)"), "lora_alpha"),
        (with_tensors(leftover=torch.ones(2)), "holds leftover, which has no place"),
        (with_tensors(**{"text_hidden_fcs.0.bias": torch.ones(65)}), "of shape [65]"),
        (with_tensors(**{EMBEDDING: torch.ones(348, 64)}), "of shape [348, 64]"),
        (with_tensors(**{"mllm.model.mlp1.1.weight": torch.ones(64, 193)}), "of shape [64, 193]"),
    ],
)
def test_a_training_checkpoint_that_does_not_fit_is_refused(change, reason, layers, changed, refusal):
    assert reason in refusal(checkpoint=changed(layers.checkpoint, change))


def test_a_checkpoint_that_lost_all_its_lora_factors_is_refused(layers, changed, refusal):
    def strip(content):
        weights = content["state_dict"]
        content["state_dict"] = {name: tensor for name, tensor in weights.items() if "lora_" not in name}

    assert "holds no LoRA factors" in refusal(checkpoint=changed(layers.checkpoint, strip))


def test_a_pretrained_checkpoint_of_another_size_is_refused(refusal, tmp_path):
    torch.save({"text_hidden_fcs.0.weight": torch.ones(128, 128)}, tmp_path / "other.pth")
    assert "of shape [128, 128] where the model has [64, 64]" in refusal(pretrained=tmp_path / "other.pth")


def test_an_unknown_trunk_is_refused(layers, changed, refusal):
    def widen(content):
        content["model"]["image_encoder.trunk.patch_embed.proj.weight"] = torch.ones(24, 3, 7, 7)

    assert "grounding_encoder_config" in refusal(sam2=changed(layers.sam2, widen))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model_type": "llava"}, "not that of an InternVL"),
        (
            {"llm_config": {"architectures": ["Qwen2ForCausalLM"], "hidden_size": "wide"}},
            "no model that can be built",
        ),
        ({"llm_config": {"architectures": ["GPT2LMHeadModel"]}}, "GPT2LMHeadModel"),
        ({"grounding_encoder_config": {"unheard_of": 1}}, "unheard_of"),
    ],
)
def test_a_base_configuration_that_describes_no_supported_model_is_refused(
    changes, reason, base_copy, refusal
):
    edit_config(base_copy, **changes)
    assert reason in refusal(base_mllm=base_copy)


def test_a_truncated_file_is_refused(layers, base_copy, refusal, tmp_path):
    for name in ("sam2", "checkpoint"):
        whole = getattr(layers, name)
        (tmp_path / whole.name).write_bytes(whole.read_bytes()[:-1000])
        assert whole.name in refusal(**{name: tmp_path / whole.name})
    weights = base_copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    assert weights.name in refusal(base_mllm=base_copy)


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


def hostile_programs(marker: Path) -> dict[str, bytes]:
    """Pickles that would create `marker`, take all memory, or hold a tensor that is not there."""
    touch = f"open({str(marker)!r}, 'w').close()"
    bomb: list = []
    for _ in range(40):
        bomb = [bomb, bomb]
    tensor = (
        "(dVstate_dict\n(dVw\nctorch._utils\n_rebuild_tensor_v2\n((Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nI4\ntQ"
        "I0\n(I1000\nt(I1\ntI00\n(dtRss."
    )
    return {
        "os.system": pickle.dumps(Calls(os.system, f"touch {marker}")),
        "eval among the weights": pickle.dumps(
            {"state_dict": {"w": Calls(eval, touch)}, "meta": {"cfg": ""}}
        ),
        "getattr chain": (
            "cbuiltins\ngetattr\n(cbuiltins\ngetattr\n(c__main__\n__builtins__\nV__dict__\ntRVget\ntR(Vexec\ntR"
            f"(V{touch}\ntR."
        ).encode(),
        "reduce bomb": pickle.dumps(Calls(bytearray, 1 << 60)),
        "doubling bomb": pickle.dumps({"state_dict": bomb}),
        "storage shorter than the shape": tensor.encode(),
    }


@pytest.mark.parametrize("layer", ["checkpoint", "pretrained", "sam2"])
@pytest.mark.parametrize("name", hostile_programs(Path("marker")))
def test_a_hostile_pickle_does_nothing(name, layer, archive, refusal, tmp_path):
    marker = tmp_path / "marker"
    path = archive(hostile_programs(marker)[name], {"hostile/data/0": bytes(16)})
    assert str(path) in refusal(**{layer: path})
    assert not marker.exists()


def test_a_zip_bomb_and_a_path_that_leaves_the_archive_are_refused(archive, refusal, tmp_path):
    bomb = archive(pickle.dumps({}), {"hostile/data/0": bytes(10_000_000)}, zipfile.ZIP_DEFLATED)
    assert "compressed" in refusal(checkpoint=bomb)
    leaving = archive(pickle.dumps({}), {"../../outside": b"x"})
    assert "leaves the archive" in refusal(checkpoint=leaving)
    assert not (tmp_path.parent / "outside").exists()


def convert_and_die(layers, output):
    write, written = shards.write_tensor, []

    def write_and_die(*arguments):
        written.append(arguments)
        if len(written) == 100:
            os.kill(os.getpid(), signal.SIGKILL)
        return write(*arguments)

    shards.write_tensor = write_and_die
    layers.convert(output)


def test_a_killed_conversion_leaves_nothing_that_is_taken_for_whole(layers, tmp_path):
    output = tmp_path / "place/out"
    killed = multiprocessing.get_context("fork").Process(target=convert_and_die, args=(layers, output))
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert not output.exists()
    (rest,) = output.parent.iterdir()
    assert rest.name.startswith(".out.")
    assert not (rest / "conversion.json").exists()
    report = layers.convert(output, dtype="bfloat16")
    assert layers.convert(tmp_path / "other", dtype="bfloat16") == report


def test_a_disk_without_room_is_refused_before_writing(refusal, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=50_000_000))
    assert "has 0.05 GB free" in refusal()


def test_the_size_is_known_exactly_before_writing(layers, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(convert, "require_free_space", lambda path, needed: asked.append(needed))
    layers.convert(tmp_path / "out")
    written = sum(path.stat().st_size for path in (tmp_path / "out").iterdir())
    assert written <= asked[0] <= written + convert._RECORD_BYTES_PER_TENSOR * 503


def test_a_disk_that_fills_while_writing_leaves_nothing(refusal, monkeypatch):
    def fail(*arguments):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(convert, "write_shards", fail)
    assert "the disk is full" in refusal()


def test_an_output_that_would_destroy_something_is_refused(layers, base_copy, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/thesis.tex").write_text("years of work")
    (tmp_path / "file").write_text("")
    for output, reason in [
        (tmp_path / "notes", "something else"),
        (tmp_path / "file", "is a file"),
        (base_copy, "holds the inputs"),
        (tmp_path, "holds the inputs"),
    ]:
        with pytest.raises(UserError, match=reason):
            layers.convert(output, base_mllm=base_copy)
    assert (tmp_path / "notes/thesis.tex").exists()
    assert (base_copy / "model.safetensors").exists()
