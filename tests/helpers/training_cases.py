"""Layers of fine-tuning runs on a very small InternVL of each family, with values that peft itself computes."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from small_sizes import SAM2, TOWER
from stages import convert_checkpoint
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import nn

from refvessel.model.naming import SAM2_PREFIX, embedding_name, head_name
from refvessel.model.official_tensors import official_shapes

INTERNLM2 = "InternLM2ForCausalLM"
# Family -> the linear layers that LoRA is put on, by the last part of their names.
TARGETS = {
    "Qwen2ForCausalLM": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    "Qwen3ForCausalLM": ["q_proj", "v_proj", "down_proj"],
    "LlamaForCausalLM": ["q_proj", "k_proj", "v_proj", "o_proj"],
    INTERNLM2: ["wqkv", "wo", "w1", "w2", "w3"],
    "Phi3ForCausalLM": ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"],
}
SETTINGS = {
    "Qwen3ForCausalLM": {"head_dim": 8},
    INTERNLM2: {"model_type": "internlm2", "bias": False},
    "Phi3ForCausalLM": {"pad_token_id": None, "eos_token_id": None},
}
TEMPLATES = {"Phi3ForCausalLM": "phi3_chat", INTERNLM2: "internlm2_chat", "LlamaForCausalLM": "llama3_chat"}
CHAT_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|user|>", "<|assistant|>", "<|end|>"]
CHAT_TOKENS += ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<img>", "</img>", "<IMG_CONTEXT>"]
SA2VA_TOKENS = ["[SEG]", "<p>", "</p>", "<vp>", "</vp>"]
BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
BASE_TOKENS = len(BYTES) + len(CHAT_TOKENS)


def base_config(architecture: str, **language: Any) -> dict:
    return {
        "model_type": "internvl_chat",
        "architectures": ["InternVLChatModel"],
        "template": "internvl2_5",
        "vision_config": TOWER,
        "llm_config": {
            "architectures": [architecture],
            "vocab_size": BASE_TOKENS,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
        }
        | SETTINGS.get(architecture, {})
        | language,
        "grounding_encoder_config": SAM2,
    }


def write_tokenizer(folder: Path) -> None:
    tokenizer = Tokenizer(models.BPE({token: index for index, token in enumerate(BYTES)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(CHAT_TOKENS)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|endoftext|>"}))


class Skeleton(nn.Module):
    """Modules that hold tensors by their names: what peft needs of a model, whatever its family."""

    def __init__(self, tensors: dict[str, torch.Tensor]):
        super().__init__()
        modules: dict[str, dict[str, torch.Tensor]] = {}
        for name, tensor in tensors.items():
            path, _, parameter = name.rpartition(".")
            modules.setdefault(path, {})[parameter] = tensor
        for path, parameters in modules.items():
            *parents, leaf = path.split(".")
            parent = self
            for each in parents:
                if not hasattr(parent, each):
                    parent.add_module(each, nn.Module())
                parent = getattr(parent, each)
            if hasattr(parent, leaf):
                module = getattr(parent, leaf)
            else:
                module = self._module(path, parameters)
                parent.add_module(leaf, module)
            for parameter, tensor in parameters.items():
                module.register_parameter(parameter, nn.Parameter(tensor.clone()))

    @staticmethod
    def _module(path: str, parameters: dict[str, torch.Tensor]) -> nn.Module:
        weight = parameters.get("weight")
        if weight is None or weight.ndim != 2:
            return nn.Module()
        if path.endswith("embeddings") or path.endswith("embed_tokens"):
            return nn.Embedding(*weight.shape)
        return nn.Linear(*weight.shape[::-1], bias="bias" in parameters)


def randomise_lora(model: nn.Module) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.3)
            elif parameter.requires_grad:
                parameter += torch.randn_like(parameter)


@dataclass
class Case:
    """Layers on disk and what their conversion must give."""

    base_mllm: Path
    sam2: Path
    checkpoint: Path
    expected: dict[str, torch.Tensor]

    def convert(self, output: Path, **changes: Any) -> dict[str, Any]:
        inputs = {"base_mllm": self.base_mllm, "sam2": self.sam2, "checkpoint": self.checkpoint}
        return convert_checkpoint(
            **inputs | {"pretrained": None, "dtype": "float32"} | changes, output=output
        )


class CaseWriter:
    """A base model, SAM2 and Sa2VA's own parts of random weights, and what training makes of them."""

    def __init__(
        self, folder: Path, architecture: str, vision: dict[str, Any] | None = None, **language: Any
    ):
        torch.manual_seed(0)
        self.folder, self.architecture = folder, architecture
        self.config = base_config(architecture, **language)
        self.config["vision_config"] |= vision or {}
        trained_config = self.config | {"model_type": "sa2va_chat", "template": "qwen_chat"}
        trained_config["llm_config"] = self.config["llm_config"] | {
            "vocab_size": BASE_TOKENS + len(SA2VA_TOKENS)
        }
        shapes = official_shapes(trained_config)
        self.tensors = {name: (0.2 * torch.randn(shape)).bfloat16().float() for name, shape in shapes.items()}
        base = folder / "base_mllm"
        base.mkdir(parents=True)
        (base / "config.json").write_text(json.dumps(self.config))
        write_tokenizer(base)
        vocabulary = (embedding_name(architecture), head_name(architecture))
        save_file(
            {
                name: (tensor[:BASE_TOKENS] if name in vocabulary else tensor).bfloat16().contiguous()
                for name, tensor in self.tensors.items()
                if name.startswith(("vision_model.", "mlp1.", "language_model."))
            },
            base / "model.safetensors",
        )
        sam2 = {
            name.removeprefix(SAM2_PREFIX).replace(".g_weight", ".gamma"): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(SAM2_PREFIX)
        }
        torch.save({"model": sam2}, folder / "sam2.pt")

    def part(self, prefix: str) -> dict[str, torch.Tensor]:
        """Tensors under a prefix, by their names without it."""
        return {
            name.removeprefix(prefix): each for name, each in self.tensors.items() if name.startswith(prefix)
        }

    def write(
        self, trained: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], text: str | None
    ) -> Case:
        """A training checkpoint; without a text it has no config."""
        trained = trained | {
            f"text_hidden_fcs.{name}": each for name, each in self.part("text_hidden_fcs.").items()
        }
        meta = {} if text is None else {"meta": {"cfg": text}}
        torch.save({"state_dict": trained} | meta, self.folder / "iter_1.pth")
        return Case(
            self.folder / "base_mllm",
            self.folder / "sam2.pt",
            self.folder / "iter_1.pth",
            self.tensors | expected,
        )

    def train_lora(
        self,
        parts: dict[str, LoraConfig],
        *,
        names: str = "mmengine",
        frozen_too: bool = False,
    ) -> Case:
        """LoRA by peft on language_model or vision_model, or both.

        `names`: mmengine's (state_dict of the wrapped model), or peft's own (get_peft_model_state_dict).
        """
        trained, expected, settings = {}, {}, {}
        for part, lora in parts.items():
            settings[part] = lora
            wrapped = get_peft_model(Skeleton(self.part(f"{part}.")), lora)
            randomise_lora(wrapped)
            if names == "peft":
                state = get_peft_model_state_dict(wrapped)
            else:
                wanted = {
                    name for name, each in wrapped.named_parameters() if each.requires_grad or frozen_too
                }
                state = {name: each for name, each in wrapped.state_dict().items() if name in wanted}
            trained |= {f"mllm.model.{part}.{name}": each.detach().clone() for name, each in state.items()}
            merged = wrapped.merge_and_unload().state_dict()
            expected |= {f"{part}.{name}": each.detach() for name, each in merged.items()}
        head, embedding = head_name(self.architecture), embedding_name(self.architecture)
        for name in (head, embedding):
            if not any(name.rpartition(".")[0].removeprefix("language_model.") in key for key in trained):
                # What was not trained grew by rows that this checkpoint must hold, or nothing would.
                trained[f"mllm.model.{name}"] = self.tensors[name]
        return self.write(trained, expected, config_text(settings))


def config_text(settings: dict[str, LoraConfig]) -> str:
    keys = {"language_model": "llm_lora", "vision_model": "visual_encoder_lora"}
    loras = ", ".join(
        f"{keys[part]}=dict(type='peft.LoraConfig', r={lora.r}, lora_alpha={lora.lora_alpha}, "
        f"use_rslora={lora.use_rslora}, lora_bias={lora.lora_bias}, bias={lora.bias!r})"
        for part, lora in settings.items()
    )
    return f"template = 'qwen_chat'\nspecial_tokens = {SA2VA_TOKENS}\nmodel = dict(mllm=dict({loras}))\n"


def assert_is_expected(folder: Path, expected: dict[str, torch.Tensor]) -> None:
    written = load_file(folder / "model.safetensors")
    assert written.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(written[name], tensor.float(), rtol=0, atol=1e-6, msg=name)


def modules_to_save(architecture: str) -> list[str]:
    names = embedding_name(architecture), head_name(architecture)
    return [name.removeprefix("language_model.").removesuffix(".weight").rpartition(".")[2] for name in names]
