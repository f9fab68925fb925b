"""Models of full size with random weights, which answer as trained ones do."""

import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from demo_checkpoint.tokenizer import BASE_TOKENS, SA2VA_TOKENS, load_tokenizer, write_tokenizer
from demo_checkpoint.train import train_words
from engine import PHRASES
from safetensors.torch import save_file
from transformers import PreTrainedTokenizerBase

from refvessel.model.chat_rendering import Turn
from refvessel.model.configuration import config_of
from refvessel.model.internvl_inputs import TileInputs
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.official_tensors import official_state_dict
from refvessel.model.processing import Sa2VAProcessor
from refvessel.model.qwen_configuration import QwenSa2VAConfig
from refvessel.model.qwen_inputs import PatchInputs
from refvessel.settings.inference_section import Inference

_INTERNVL = {
    "vision_config": {},
    "llm_config": {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "vocab_size": 151679,
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "rope_theta": 1e6,
    },
}
_QWEN2_5_VL = {
    "vision_config": {
        "model_type": "qwen2_5_vl",
        "depth": 32,
        "hidden_size": 1280,
        "intermediate_size": 3420,
        "num_heads": 16,
        "out_hidden_size": 3584,
        "patch_size": 14,
        "window_size": 112,
        "fullatt_block_indexes": [7, 15, 23, 31],
    },
    "text_config": {
        "vocab_size": 152064,
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1e6,
        "rope_scaling": {"rope_type": "default", "mrope_section": [16, 24, 24]},
    },
}
_QWEN3_VL = {
    "vision_config": {
        "model_type": "qwen3_vl",
        "depth": 27,
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_heads": 16,
        "out_hidden_size": 4096,
        "patch_size": 16,
        "num_position_embeddings": 2304,
        "deepstack_visual_indexes": [8, 16, 24],
    },
    "text_config": {
        "vocab_size": 151936,
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "rope_theta": 5e6,
        "rope_scaling": {"rope_type": "default", "mrope_section": [24, 20, 20], "mrope_interleaved": True},
    },
}
# The sizes of InternVL3-8B, Qwen2.5-VL-7B and Qwen3-VL-8B.
FAMILIES: dict[str, dict[str, Any]] = {
    "internvl": _INTERNVL,
    "qwen2_5_vl": _QWEN2_5_VL,
    "qwen3_vl": _QWEN3_VL,
}
_QWEN_TOKENS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>")
_SYSTEM_TOKENS = 11  # of `system`, `You are a helpful assistant.` and what is around them
_HALF = (0.5, 0.5, 0.5)


def _turn(images: int) -> Turn:
    """The user's turn of the families' templates.

    Before it stand as many tokens as a real tokenizer makes of the system's turn; this one would make more.
    """
    between = ("<|vision_end|><|vision_start|>",) * (images - 1)
    system = "<|endoftext|>" * _SYSTEM_TOKENS
    before = (f"{system}<|im_start|>user\n<|vision_start|>", *between, "<|vision_end|>")
    return Turn(before, "<|im_end|>\n<|im_start|>assistant\n", strips=False)


def _processor(config: Any, tokenizer: PreTrainedTokenizerBase) -> Sa2VAProcessor:
    if isinstance(config, QwenSa2VAConfig):
        return Sa2VAProcessor(config, tokenizer, PatchInputs(config, (_HALF, _HALF), _turn))
    return Sa2VAProcessor(config, tokenizer, TileInputs(config))


def write_words(folder: Path) -> None:
    """The files of a small tokenizer with every token that a family needs."""
    write_tokenizer(folder, train_words(), BASE_TOKENS + SA2VA_TOKENS + _QWEN_TOKENS)


def write_official_folder(folder: Path, settings: dict[str, Any], device: str, files: int = 4) -> None:
    """An official InternVL-kind folder of these settings, with random weights in so many files."""
    model, _ = random_model(device, settings=settings)
    write_words(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "sa2va_chat"} | settings))
    tensors = official_state_dict(model.state_dict(), model.config.llm_config)
    by_size = sorted(tensors, key=lambda name: -tensors[name].nbytes)
    parts = {
        f"model-{part + 1:05d}-of-{files:05d}.safetensors": by_size[part::files] for part in range(files)
    }
    places = {name: file for file, names in parts.items() for name in names}
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    def write(part: tuple[str, list[str]]) -> None:
        file, names = part
        save_file({name: tensors[name].cpu().contiguous() for name in names}, folder / file)

    with ThreadPoolExecutor(files) as pool:
        list(pool.map(write, parts.items()))


def random_model(
    device: str, family: str = "internvl", settings: dict[str, Any] | None = None
) -> tuple[Sa2VAModel, Sa2VAProcessor]:
    """A family's shapes, or those of `settings`, answering as expected, in bfloat16 on the device."""
    with tempfile.TemporaryDirectory() as folder:
        write_words(Path(folder))
        tokenizer = load_tokenizer(Path(folder))
    image_token = tokenizer.get_vocab()[PatchInputs.image_token]
    config = config_of((settings or FAMILIES[family]) | {"image_token_id": image_token})
    with torch.device("meta"):
        model = Sa2VAModel(config)
    model = model.to(torch.bfloat16).to_empty(device=device).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            branch = "language_model" in name and name.endswith(("o_proj.weight", "down_proj.weight"))
            tensor.fill_(1.0) if "norm" in name and name.endswith("weight") else tensor.normal_(std=0.02)
            if branch:
                tensor.mul_(1e-3)
        decoder = model.language_model.model
        with torch.device(device):
            decoder.rotary_emb = type(decoder.rotary_emb)(config.llm_config)
        positions = model.grounding_encoder.shared_image_embedding.positional_embedding
        model.grounding_encoder.shared_image_embedding.positional_embedding = torch.randn(
            *positions.shape, device=device
        )
        embeddings = model.language_model.model.embed_tokens.weight
        embeddings.normal_()
        processor = _processor(config, tokenizer)
        layout = processor.layout(512, 512)
        end = processor.prompt_ids(Inference().question.format(phrase=PHRASES[0]), layout)[-1]
        answer = processor.answer_ids(Inference().draft)
        for token, following in zip([end, *answer], answer, strict=False):
            model.language_model.lm_head.weight[following] = embeddings[token]
    model.requires_grad_(False)
    return model, processor
