"""The files that a fine-tuning run leaves: base folder, SAM2 checkpoint and mmengine's training checkpoint."""

import json
import sys
import types
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from demo_checkpoint.network import LORA_ALPHA, LORA_RANK, TEMPLATE, base_config
from demo_checkpoint.tokenizer import BASE_TOKENS, SA2VA_TOKENS, write_tokenizer
from refvessel.model.naming import SAM2_PREFIX
from refvessel.model.official_tensors import official_state_dict

BASE_FOLDER, SAM2_FILE = "base_mllm", "sam2_hiera_demo.pt"
_BASE_PARTS = ("vision_model.", "mlp1.", "language_model.")
_VOCABULARY = ("embed_tokens.weight", "lm_head.weight")
_TRAINED_PARTS = ("text_hidden_fcs.", f"{SAM2_PREFIX}sam_mask_decoder.")
_PEFT_PREFIX = "mllm.model.language_model.base_model.model."
_HISTORY_BUFFER = "mmengine.logging.history_buffer"

_TRAINING_CONFIG = """template = {template!r}
special_tokens = {tokens!r}
path = {base!r}
model = dict(
    frozen_sam2_decoder=False,
    grounding_encoder=dict(ckpt_path={sam2!r}, type='SAM2TrainRunner'),
    mllm=dict(
        freeze_llm=True,
        freeze_visual_encoder=True,
        llm_lora=dict(
            bias='none',
            lora_alpha={alpha},
            lora_dropout=0.0,
            modules_to_save=['embed_tokens', 'lm_head'],
            r={rank},
            task_type='CAUSAL_LM',
            type='peft.LoraConfig'),
        model_path=path,
        type='InternVLMLLM'),
    pretrained_pth=None,
    special_tokens=special_tokens,
    type='Sa2VAModel')
"""


def write_layers(
    folder: Path,
    *,
    words: Tokenizer,
    pretrained: Mapping[str, torch.Tensor],
    tuned: Mapping[str, torch.Tensor],
    updates: Mapping[str, tuple[torch.Tensor, torch.Tensor]],
    losses: Sequence[float],
    seed: int,
) -> None:
    """Write the three layers into an existing folder.

    Args:
        folder: where `base_mllm/`, `sam2_hiera_demo.pt` and `iter_N.pth` go.
        words: the tokenizer without special tokens.
        pretrained: the model's state before fine-tuning, all values exact in bfloat16.
        tuned: its state after fine-tuning, the updates not added.
        updates: projection of the language model -> the factors (A, B) of its low-rank update.
        losses: of each fine-tuning step; there are N.
        seed: of the run, as the checkpoint records it.
    """
    before = {name: tensor.detach().cpu() for name, tensor in official_state_dict(pretrained).items()}
    after = {name: tensor.detach().cpu() for name, tensor in official_state_dict(tuned).items()}
    _write_base(folder / BASE_FOLDER, words, before)
    _write_sam2(folder / SAM2_FILE, before)
    _write_iteration(folder / f"iter_{len(losses)}.pth", _trained(after, updates), losses, seed)


def _write_base(folder: Path, words: Tokenizer, state: Mapping[str, torch.Tensor]) -> None:
    write_tokenizer(folder, words, BASE_TOKENS)
    size = words.get_vocab_size() + len(BASE_TOKENS)
    (folder / "config.json").write_text(json.dumps(base_config(size), indent=2) + "\n", "utf-8")
    tensors = {
        name: (tensor[:size] if name.endswith(_VOCABULARY) else tensor).to(torch.bfloat16).contiguous()
        for name, tensor in state.items()
        if name.startswith(_BASE_PARTS)
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _write_sam2(path: Path, state: Mapping[str, torch.Tensor]) -> None:
    tensors = OrderedDict(
        (
            name.removeprefix(SAM2_PREFIX).replace(".g_weight", ".gamma"),
            tensor.to(torch.bfloat16).contiguous(),
        )
        for name, tensor in state.items()
        if name.startswith(SAM2_PREFIX)
    )
    torch.save({"model": tensors}, path)


def _trained(
    state: Mapping[str, torch.Tensor], updates: Mapping[str, tuple[torch.Tensor, torch.Tensor]]
) -> OrderedDict[str, torch.Tensor]:
    """What mmengine saves of a fine-tuning run, in its names."""
    trained = OrderedDict()
    for projection, (a, b) in updates.items():
        trained[f"{_PEFT_PREFIX}{projection}.lora_A.default.weight"] = a.cpu().contiguous()
        trained[f"{_PEFT_PREFIX}{projection}.lora_B.default.weight"] = b.cpu().contiguous()
    for name, tensor in state.items():
        if name.endswith(_VOCABULARY):
            module = name.removeprefix("language_model.").removesuffix(".weight")
            trained[f"{_PEFT_PREFIX}{module}.modules_to_save.default.weight"] = tensor.contiguous()
        elif name.startswith("mlp1."):
            trained[f"mllm.model.{name}"] = tensor.contiguous()
        elif name.startswith(_TRAINED_PARTS):
            trained[name] = tensor.contiguous()
    return trained


def _write_iteration(
    path: Path, trained: OrderedDict[str, torch.Tensor], losses: Sequence[float], seed: int
) -> None:
    config = _TRAINING_CONFIG.format(
        template=TEMPLATE,
        tokens=list(SA2VA_TOKENS),
        base=BASE_FOLDER,
        sam2=SAM2_FILE,
        alpha=LORA_ALPHA,
        rank=LORA_RANK,
    )
    stand_ins, history = _history(losses)
    checkpoint = {
        "meta": {"cfg": config, "seed": seed, "epoch": 0, "iter": len(losses), "mmengine_version": "0.10.7"},
        "state_dict": trained,
        "message_hub": {
            "log_scalars": OrderedDict({"train/loss": history}),
            "runtime_info": OrderedDict(iter=len(losses), max_iters=len(losses)),
            "resumed_keys": OrderedDict(),
        },
        "param_schedulers": [{"last_step": len(losses)}],
    }
    with mock.patch.dict(sys.modules, stand_ins):
        torch.save(checkpoint, path)


def _history(losses: Sequence[float]) -> tuple[dict[str, types.ModuleType], object]:
    """Losses in an object that pickles as mmengine's HistoryBuffer, and the modules that pickle looks it up in.

    Real checkpoints hold such objects, and a reader must not need mmengine for them.
    """
    module = types.ModuleType(_HISTORY_BUFFER)
    module.HistoryBuffer = type("HistoryBuffer", (), {"__module__": _HISTORY_BUFFER})
    buffer = module.HistoryBuffer()
    buffer._max_length = 1_000_000
    buffer._log_history = np.array(losses, dtype=np.float64)
    buffer._count_history = np.ones(len(losses), dtype=np.int64)
    parents = {name: types.ModuleType(name) for name in ("mmengine", "mmengine.logging")}
    return parents | {_HISTORY_BUFFER: module}, buffer
