"""A very small Sa2VA of random weights whose SAM2 has memories of 64 channels, and which answers as it is told."""

import json
from pathlib import Path

import numpy as np
import torch
from demo_checkpoint.tokenizer import BASE_TOKENS, SA2VA_TOKENS, train_tokenizer, write_tokenizer
from PIL import Image
from safetensors.torch import save_file
from small_sizes import SAM2, TOWER

from refvessel.dataset.tree.ref_vos import FRAMES, META_EXPRESSIONS
from refvessel.model.configuration import Sa2VAConfig
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.official_tensors import official_state_dict
from refvessel.model.processing import Sa2VAProcessor

ANSWER = "Sure, [SEG].<|im_end|>"
WITHOUT_SEG = "Sure.<|im_end|>"
SIDE = 128  # of SAM2's input
CONFIG = {
    "model_type": "sa2va_chat",
    "architectures": ["Sa2VAChatModel"],
    "template": "qwen_chat",
    "force_image_size": 56,
    "vision_config": TOWER | {"image_size": 56},
    "llm_config": {
        "architectures": ["Qwen2ForCausalLM"],
        "hidden_size": 64,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
    "grounding_encoder_config": SAM2 | {"image_size": SIDE, "hidden_dim": 128, "memory_dim": 64},
}


def write_model(folder: Path, answer: str = ANSWER, **grounding: int) -> Path:
    """An official folder; `grounding` replaces sizes of SAM2."""
    words = train_tokenizer(["Sure, .", "Please segment", "user\nassistant\n"])
    write_tokenizer(folder, words, BASE_TOKENS + SA2VA_TOKENS)
    config = json.loads(json.dumps(CONFIG))
    config["llm_config"]["vocab_size"] = words.get_vocab_size() + len(BASE_TOKENS + SA2VA_TOKENS)
    config["grounding_encoder_config"] |= grounding
    (folder / "config.json").write_text(json.dumps(config))
    model = Sa2VAModel(Sa2VAConfig(**config)).eval()
    generator = torch.Generator().manual_seed(0)
    positions = model.grounding_encoder.shared_image_embedding.positional_embedding
    with torch.no_grad():
        positions.normal_(generator=generator)
        for name, parameter in model.named_parameters():
            # No larger in SAM2: what its memories are rounded otherwise would grow from frame to frame.
            std = 0.1 if name.startswith("grounding") else 0.2
            parameter.normal_(std=std, generator=generator)
            if "norm" in name and name.endswith("weight"):
                parameter.fill_(1.0)
            if name.startswith("language_model") and name.endswith(("o_proj.weight", "down_proj.weight")):
                parameter.mul_(0.05)
        embeddings = model.language_model.model.embed_tokens.weight.normal_(generator=generator)
        presence = model.grounding_encoder.mask_decoder.pred_obj_score_head
        presence.proj_out.bias.fill_(30.0)  # the objects are there
        processor = Sa2VAProcessor.from_pretrained(folder)
        end = processor.prompt_ids("<image>", processor.layout(56, 56))[-1]
        tokens = processor.answer_ids(answer)
        for token, following in zip([end, *tokens], tokens, strict=False):
            model.language_model.lm_head.weight[following] = embeddings[token]
    tensors = official_state_dict(model.state_dict(), model.config.llm_config)
    save_file({name: each.contiguous() for name, each in tensors.items()}, folder / "model.safetensors")
    return folder


def write_sam2(folder: Path, path: Path, seed: int) -> Path:
    """SAM2's own checkpoint for the model in a folder, its decoder other than the model's by a little."""
    model = Sa2VAModel.load(folder, dtype=torch.float32)
    prefix = "grounding_encoder.sam2_model."
    official = official_state_dict(model.state_dict(), model.config.llm_config)
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, tensor in official.items():
        if name.startswith(prefix):
            noise = 0.1 * torch.randn(tensor.shape, generator=generator)
            changed = tensor + noise if "sam_mask_decoder" in name else tensor.clone()
            tensors[name.removeprefix(prefix).replace("g_weight", "gamma")] = changed
    torch.save({"model": tensors}, path)
    return path


def write_layout(
    root: Path,
    lengths: dict[str, int],
    expressions: dict[str, str] | None = None,
    *,
    size: tuple[int, int] = (90, 60),
) -> Path:
    """Videos of so many frames of a bright square that moves, all asked the same; `size` is width, height."""
    width, height = size
    videos = {}
    for seed, (name, length) in enumerate(lengths.items()):
        noise = np.random.default_rng(seed)
        folder = root / FRAMES / name
        folder.mkdir(parents=True)
        for frame in range(length):
            image = noise.integers(0, 120, (height, width), dtype=np.uint8)
            left = (7 * seed + 3 * frame) % (width - 20)
            image[10:30, left : left + 20] = 250
            Image.fromarray(image).save(folder / f"{frame:03}.png")
        asked = {key: {"exp": text} for key, text in (expressions or {"0": "vessel"}).items()}
        videos[name] = {"frames": [f"{frame:03}" for frame in range(length)], "expressions": asked}
    (root / META_EXPRESSIONS).write_text(json.dumps({"videos": videos}))
    return root
