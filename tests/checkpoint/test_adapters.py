"""Folders that peft saved, on official folders and on base models, with values from the definition of LoRA."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from stages import convert_checkpoint
from training_cases import (
    INTERNLM2,
    SA2VA_TOKENS,
    CaseWriter,
    Skeleton,
    assert_is_expected,
    randomise_lora,
)

from refvessel.checkpoint.adapter_config import read_adapter_config
from refvessel.checkpoint.contents import describe, read_contents
from refvessel.checkpoint.tokenizer import extended_tokenizer
from refvessel.cli.checkpoint_commands import app
from refvessel.errors import UserError
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.processing import Sa2VAProcessor

QWEN2 = "Qwen2ForCausalLM"
EXCLUSIVE = {"modules_to_save": ["embed_tokens", "lm_head"]}


class Folders:
    """An official folder, the layers below it, and adapters of it."""

    def __init__(self, folder: Path, architecture: str, **language: Any):
        self.writer = CaseWriter(folder / "layers", architecture, **language)
        self.tensors = self.writer.tensors
        self.official = folder / "official"
        self.official.mkdir()
        files, count = extended_tokenizer(folder / "layers/base_mllm", SA2VA_TOKENS)
        for name, content in files.items():
            (self.official / name).write_bytes(content)
        config = self.writer.config | {"model_type": "sa2va_chat", "template": "internlm2-chat"}
        config["llm_config"] = config["llm_config"] | {"vocab_size": count}
        (self.official / "config.json").write_text(json.dumps(config))
        save_file(self.tensors, self.official / "model.safetensors")

    def adapter(
        self, folder: Path, lora: LoraConfig, *, part: str = "", alone: bool = True, binary: bool = False
    ) -> tuple[Path, dict[str, torch.Tensor]]:
        """An adapter of a part of the model, and the tensors of the model that it makes.

        Args:
            folder: where to.
            lora: what is adapted.
            part: where the names of the adapted module's tensors begin, all of the model if empty.
            alone: whether the adapter's names are those within that part.
            binary: whether it is a .bin.
        """
        torch.manual_seed(1)
        tensors = {name: each for name, each in self.tensors.items() if name.startswith(part)}
        prefix = part if alone else ""
        wrapped = get_peft_model(
            Skeleton({name.removeprefix(prefix): each for name, each in tensors.items()}), lora
        )
        randomise_lora(wrapped)
        wrapped.save_pretrained(folder, safe_serialization=not binary)
        if binary and not (folder / "adapter_model.bin").exists():
            weights = folder / "adapter_model.safetensors"
            torch.save(load_file(weights), folder / "adapter_model.bin")
            weights.unlink()
        return folder, self.expected(wrapped.state_dict(), prefix, lora)

    def expected(
        self, state: dict[str, torch.Tensor], prefix: str, lora: LoraConfig
    ) -> dict[str, torch.Tensor]:
        result = dict(self.tensors)
        for name in self.tensors:
            inner = f"base_model.model.{name.removeprefix(prefix)}"
            stem, _, kind = inner.rpartition(".")
            if saved := [key for key in state if key.replace(".modules_to_save.default", "") == inner != key]:
                result[name] = state[saved[0]]
            elif f"{stem}.lora_A.default.weight" in state and kind == "weight":
                a, b = (state[f"{stem}.lora_{each}.default.weight"] for each in "AB")
                end = stem.rpartition(".")[2]
                alpha = next((v for k, v in lora.alpha_pattern.items() if end in k), lora.lora_alpha)
                scale = alpha / (len(a) ** 0.5 if lora.use_rslora else len(a))
                result[name] = self.tensors[name] + scale * b @ a
            elif f"{stem}.base_layer.{kind}" in state:
                result[name] = state[f"{stem}.base_layer.{kind}"]
            elif lora.bias != "none" and inner in state:
                result[name] = state[inner]
        return {name: each.detach() for name, each in result.items()}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Folders:
    return Folders(tmp_path_factory.mktemp("folders"), QWEN2)


def convert(output: Path, **settings: Any) -> dict[str, Any]:
    return convert_checkpoint(output=output, **{"dtype": "float32"} | settings)


LANGUAGE = {"r": 4, "lora_alpha": 6, "target_modules": ["q_proj", "v_proj", "gate_proj"]}
ADAPTERS: dict[str, tuple[LoraConfig, dict[str, Any]]] = {
    "language model alone": (LoraConfig(**LANGUAGE), {"part": "language_model."}),
    "by its whole name": (LoraConfig(**LANGUAGE), {"part": "language_model.", "alone": False}),
    "whole model": (
        LoraConfig(r=4, target_modules=["q_proj", "qkv", "fc1"], modules_to_save=["text_hidden_fcs", "mlp1"]),
        {},
    ),
    "patterns": (
        LoraConfig(
            **LANGUAGE,
            rank_pattern={"v_proj": 2, "^model.layers.0.mlp.gate_proj": 3},
            alpha_pattern={r"layers\.\d+\.self_attn\.q_proj": 9},
        ),
        {"part": "language_model."},
    ),
    "rank-stabilised, .bin": (
        LoraConfig(**LANGUAGE, use_rslora=True),
        {"part": "language_model.", "binary": True},
    ),
    "saved modules": (LoraConfig(**LANGUAGE, **EXCLUSIVE), {"part": "language_model."}),
    "biases": (LoraConfig(**LANGUAGE, bias="lora_only"), {"part": "language_model."}),
    "fan in, fan out": (LoraConfig(**LANGUAGE, fan_in_fan_out=True), {"part": "language_model."}),
}


@pytest.mark.parametrize("kind", ADAPTERS)
def test_an_adapter_of_an_official_folder_is_added_as_lora_is_defined(kind, folders, tmp_path):
    lora, options = ADAPTERS[kind]
    adapter, expected = folders.adapter(tmp_path / "adapter", lora, **options)
    report = convert(tmp_path / "out", folder=folders.official, checkpoint=adapter)
    assert_is_expected(tmp_path / "out", expected)
    assert report["sources"]["official"] + report["sources"]["lora_merged"] + report["sources"].get(
        "trained", 0
    ) == len(expected)
    assert report["training"]["template"] == "internlm2-chat"
    assert {record["name"] for record in report["inputs"]} >= {"config.json", "model.safetensors"}
    assert report["warnings"] == []


def test_ranks_and_alphas_of_modules_are_told(folders, tmp_path):
    lora, options = ADAPTERS["patterns"]
    adapter, _ = folders.adapter(tmp_path / "adapter", lora, **options)
    report = convert(tmp_path / "out", folder=folders.official, checkpoint=adapter)
    told = {"ranks": [2, 3, 4], "alphas": [6.0, 9.0], "rank_stabilised": False}
    assert report["training"]["adapter"] == told


def test_the_result_loads(folders, tmp_path):
    adapter, expected = folders.adapter(tmp_path / "adapter", LoraConfig(**LANGUAGE), part="language_model.")
    convert(tmp_path / "out", folder=folders.official, checkpoint=adapter)
    model = Sa2VAModel.load(tmp_path / "out", dtype=torch.float32)
    name = "language_model.model.layers.0.self_attn.q_proj.weight"
    torch.testing.assert_close(model.state_dict()[name], expected[name])
    assert Sa2VAProcessor.from_pretrained(tmp_path / "out").seg_token_id


def test_an_adapter_of_internlm2_has_its_names(tmp_path):
    folders = Folders(tmp_path, INTERNLM2)
    lora = LoraConfig(r=2, lora_alpha=3, target_modules=["wqkv", "w2"], modules_to_save=["output"])
    adapter, expected = folders.adapter(tmp_path / "adapter", lora, part="language_model.")
    convert(tmp_path / "out", folder=folders.official, checkpoint=adapter)
    assert_is_expected(tmp_path / "out", expected)


def test_an_adapter_goes_on_a_pretrained_model_in_training_names(folders, tmp_path):
    adapter, expected = folders.adapter(tmp_path / "adapter", LoraConfig(**LANGUAGE), part="language_model.")
    whole = {
        name if name.startswith(("text_hidden_fcs.", "grounding_encoder.")) else f"mllm.model.{name}": each
        for name, each in folders.tensors.items()
    }
    torch.save(whole, tmp_path / "whole.pth")
    layers = {
        "base_mllm": folders.writer.folder / "base_mllm",
        "pretrained": tmp_path / "whole.pth",
        "checkpoint": adapter,
    }
    convert(tmp_path / "out", **layers, overrides={"template": "qwen_chat"})
    assert_is_expected(tmp_path / "out", expected)
    with pytest.raises(UserError, match=r"is an adapter: no prompt template"):
        convert(tmp_path / "without", **layers)


def test_training_that_went_on_from_an_official_folder_is_laid_on_it(folders, tmp_path):
    head = torch.randn_like(folders.tensors["language_model.lm_head.weight"])
    text = f"template = 'qwen_chat'\nspecial_tokens = {SA2VA_TOKENS}\n"
    text += "model = dict(pretrained_pth='x/Sa2VA-8B.pth')"
    trained = {"mllm.model.language_model.lm_head.weight": head}
    torch.save({"state_dict": trained, "meta": {"cfg": text}}, tmp_path / "iter_1.pth")
    report = convert(tmp_path / "out", folder=folders.official, checkpoint=tmp_path / "iter_1.pth")
    assert_is_expected(tmp_path / "out", folders.tensors | {"language_model.lm_head.weight": head})
    assert report["warnings"] == [
        "iter_1.pth states model.pretrained_pth = 'Sa2VA-8B.pth': training loaded it; make sure that the folder "
        "given (official) is of it."
    ]


def edit(path: Path, **settings: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


@pytest.fixture(scope="module")
def plain(folders, tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("plain") / "adapter"
    lora = LoraConfig(**LANGUAGE, **EXCLUSIVE)
    return folders.adapter(place, lora, part="language_model.")[0]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"peft_type": "LOHA"}, "states peft_type 'LOHA', but only LORA is supported"),
        ({"use_dora": True}, "use_dora = True, which is not supported"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices"),
        ({"layer_replication": [[0, 1]]}, "layer_replication"),
        ({"alora_invocation_tokens": [1]}, "alora_invocation_tokens"),
        ({"use_qalora": True}, "use_qalora"),
        ({"target_parameters": ["a.b"]}, "target_parameters"),
        ({"something_new": 1}, "something_new = 1, which is not supported"),
        ({"init_lora_weights": "pissa_niter_16"}, "changed the base's weights"),
        ({"bias": "some"}, "bias = 'some', not none, all or lora_only"),
        ({"r": 0}, "no rank `r`"),
        ({"r": 3}, "states r = 3"),
        ({"lora_alpha": "x"}, "no `lora_alpha`"),
        ({"rank_pattern": {"(a+)+": 3}}, "an expression that is not evaluated"),
        ({"rank_pattern": {"k_proj": 3}}, "states a rank or alpha for .*k_proj, of which it holds no"),
        ({"rank_pattern": {"q_proj": 0}}, "not a number above 0"),
        ({"alpha_pattern": []}, None),
        ({"modules_to_save": ["embed_tokens", "wte"]}, "states wte in modules_to_save but holds no weights"),
        ({"modules_to_save": "embed_tokens"}, "not a list of names"),
        ({"target_modules": ["q_proj", "v_proj", "gate_proj", "o_proj"]}, "holds no LoRA factors of"),
    ],
)
def test_what_is_no_plain_lora_is_refused_by_its_name(settings, sentence, plain, folders, tmp_path):
    adapter = Path(shutil.copytree(plain, tmp_path / "adapter"))
    edit(adapter / "adapter_config.json", **settings)
    if sentence is None:
        read_adapter_config(adapter)
        return
    with pytest.raises(UserError, match=sentence) as caught:
        convert(tmp_path / "out", folder=folders.official, checkpoint=adapter)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


Q_PROJ = "base_model.model.model.layers.1.self_attn.q_proj"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda held: held.update({"base_model.model.model.x.weight": torch.ones(1)}), "which has no place"),
        (lambda held: held.pop(f"{Q_PROJ}.lora_A.weight"), "without its other LoRA factor"),
        (
            lambda held: [held.pop(f"{Q_PROJ}.lora_{each}.weight") for each in "AB"],
            r"no LoRA factors of language_model\.model\.layers\.1\.self_attn\.q_proj\.weight",
        ),
        (
            lambda held: [held.pop(name) for name in [*held] if "lora_" in name],
            "holds no LoRA factors; check",
        ),
        (lambda held: held.pop("base_model.model.lm_head.weight"), "lm_head in modules_to_save but holds no"),
        (lambda held: held[f"{Q_PROJ}.lora_B.weight"].fill_(float("inf")), "holds an infinity"),
        (
            lambda held: held.update(
                {f"{Q_PROJ}.lora_A.weight": held[f"{Q_PROJ}.lora_A.weight"][:, 1:].clone()}
            ),
            "check which files belong",
        ),
    ],
)
def test_an_adapter_that_is_not_whole_is_refused(change, sentence, plain, folders, tmp_path):
    adapter = Path(shutil.copytree(plain, tmp_path / "adapter"))
    held = load_file(adapter / "adapter_model.safetensors")
    change(held)
    save_file(held, adapter / "adapter_model.safetensors")
    with pytest.raises(UserError, match=sentence) as caught:
        convert(tmp_path / "out", folder=folders.official, checkpoint=adapter)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"sam2": "x.pt"}, r"which is the pretrained model; remove its sam2"),
        ({"pretrained": "x.pth"}, r"which is the pretrained model; remove its pretrained"),
        ({"base_mllm": "x"}, r"must have either folder or base_mllm \+ checkpoint"),
        ({"overrides": {"llm_lora": {"r": 3}}}, r"states its own LoRA; remove llm_lora from the overrides"),
    ],
)
def test_settings_that_contradict_an_adapter_are_refused(settings, sentence, plain, folders, tmp_path):
    with pytest.raises(UserError, match=sentence):
        convert(tmp_path / "out", folder=folders.official, checkpoint=plain, **settings)


def test_another_size_of_the_model_than_the_adapter_states_is_told(plain, folders, tmp_path):
    folder = Path(shutil.copytree(folders.official, tmp_path / "Sa2VA-4B"))
    adapter = Path(shutil.copytree(plain, tmp_path / "adapter"))
    edit(adapter / "adapter_config.json", base_model_name_or_path="/home/somebody/ByteDance/Sa2VA-8B")
    report = convert(tmp_path / "out", folder=folder, checkpoint=adapter)
    assert report["warnings"] == [
        "adapter states base_model_name_or_path = 'Sa2VA-8B': training loaded it; make sure that the base model "
        "given (Sa2VA-4B) is the same."
    ]
    assert "somebody" not in (tmp_path / "out/conversion.json").read_text()


def test_the_command_takes_folder_and_adapter(plain, folders, tmp_path, capsys):
    layers = ["--folder", str(folders.official), "--checkpoint", str(plain)]
    app(["convert-checkpoint", *layers, "--output", str(tmp_path / "out")], standalone_mode=False)
    assert "LoRA updates of norms" in capsys.readouterr().out


def test_an_adapter_is_described(plain):
    text = describe(plain)
    assert "adapter of peft, 14 tensors" in text.splitlines()[0]
    assert "lora_alpha: 6" in text
    assert read_contents(plain).official[f"{Q_PROJ}.lora_A.weight"] == (
        "language_model.model.layers.1.self_attn.q_proj.weight (lora_A)"
    )


def test_an_adapters_settings_in_the_base_folder_do_nothing(plain, folders, tmp_path):
    base = Path(shutil.copytree(folders.official, tmp_path / "base"))
    shutil.copy(plain / "adapter_config.json", base)
    report = convert(tmp_path / "out", folder=base, checkpoint=plain)
    assert "adapter_config.json" not in {path.name for path in (tmp_path / "out").iterdir()}
    assert report["training"]["adapter"]["ranks"] == [4]
