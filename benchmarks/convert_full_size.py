#!/usr/bin/env python3
"""Time and memory of converting a full-size checkpoint, beside plainly copying the result.

    python benchmarks/convert_full_size.py [--folder DIR] [--scale SHARE]

Writes the layers of a fine-tuned InternVL3-8B with random weights (16 GB base in bfloat16, 0.9 GB SAM2, 2.6 GB
training checkpoint with LoRA of rank 64) into a temporary folder of DIR, converts them in a process of its own,
copies the result with `cp`, prints one table and removes everything. Files are dropped from the page cache before
they are read. `--scale` takes that share of the layers of both transformers, where the disk or the time is short.
Ends with status 1 where a bar is missed.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from math import prod
from pathlib import Path

import torch

from refvessel.checkpoint.safetensors_file import Layout, create_safetensors
from refvessel.checkpoint.shards import plan_shards, shards_index
from refvessel.cores import usable_cores
from refvessel.files import require_free_space
from refvessel.model.naming import SAM2_PREFIX
from refvessel.model.official_tensors import official_shapes

TOKENS = 151_674
SA2VA_TOKENS = ["[SEG]", "<p>", "</p>", "<vp>", "</vp>"]
LORA_RANK = 64
LORA_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
VOCABULARY = ("embed_tokens.weight", "lm_head.weight")
TEXT = f"""template = 'qwen_chat'
special_tokens = {SA2VA_TOKENS}
model = dict(mllm=dict(llm_lora=dict(r={LORA_RANK}, lora_alpha=128, type='peft.LoraConfig')))
"""
RANDOM_ELEMENTS = 1 << 22  # random values, repeated: neither compressible nor slow to make
MAX_RSS, MAX_RATIO = 1.5e9, 2.5  # bytes beside the largest tensor; times the copy


def model_config(scale: float) -> dict:
    """`config.json` of the base model, with a share of the layers."""
    return {
        "model_type": "internvl_chat",
        "vision_config": {"num_hidden_layers": max(1, round(24 * scale))},
        "llm_config": {
            "architectures": ["Qwen2ForCausalLM"],
            "vocab_size": TOKENS,
            "hidden_size": 3584,
            "intermediate_size": 18944,
            "num_hidden_layers": max(1, round(28 * scale)),
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
        },
    }


def random_values(elements: int, dtype: torch.dtype) -> torch.Tensor:
    """Small random values, of which a stretch of RANDOM_ELEMENTS repeats."""
    values = (torch.randn(RANDOM_ELEMENTS, generator=torch.Generator().manual_seed(0)) * 0.02).to(dtype)
    return values.repeat(-(-elements // RANDOM_ELEMENTS))[:elements].clone()


def random_tensor(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """A tensor of `random_values`."""
    return random_values(prod(shape), dtype).reshape(shape)


def fill(path: Path, start: int) -> None:
    """Fill a file from `start` to its end with random values in bfloat16."""
    values = memoryview(random_values(RANDOM_ELEMENTS * 8, torch.bfloat16).view(torch.uint8).numpy())
    with path.open("r+b") as file:
        left = file.seek(0, os.SEEK_END) - start
        file.seek(start)
        while left:
            left -= file.write(values[:left])


def write_base(folder: Path, config: dict, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """The base model's folder: configuration, tokenizer, and weights in shards."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    vocabulary = {f"token{index}": index for index in range(TOKENS)}
    model = {"type": "WordLevel", "vocab": vocabulary, "unk_token": "token0"}
    (folder / "tokenizer.json").write_text(json.dumps({"version": "1.0", "added_tokens": [], "model": model}))
    (folder / "tokenizer_config.json").write_text("{}")
    layouts = {
        name: Layout(torch.bfloat16, (TOKENS, *shape[1:]) if name.endswith(VOCABULARY) else shape)
        for name, shape in shapes.items()
        if name.startswith(("vision_model.", "mlp1.", "language_model."))
    }
    shards = plan_shards(layouts)
    for name, shard in shards.items():
        fill(folder / name, min(create_safetensors(folder / name, shard).values()))
    if len(shards) > 1:
        (folder / "model.safetensors.index.json").write_text(json.dumps(shards_index(shards)))


def write_sam2(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """SAM2's checkpoint, in float32."""
    tensors = {
        name.removeprefix(SAM2_PREFIX).replace(".g_weight", ".gamma"): random_tensor(shape, torch.float32)
        for name, shape in shapes.items()
        if name.startswith(SAM2_PREFIX)
    }
    torch.save({"model": tensors}, path)


def write_training(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """What training left: LoRA on every projection, both vocabularies, projector, heads; in bfloat16."""
    prefix = "mllm.model.language_model.base_model.model."
    trained = {}
    for name, shape in shapes.items():
        module = prefix + name.removeprefix("language_model.").removesuffix(".weight")
        if name.startswith("language_model.") and name.removesuffix(".weight").endswith(LORA_TARGETS):
            outputs, inputs = shape
            trained[f"{module}.lora_A.default.weight"] = random_tensor((LORA_RANK, inputs), torch.bfloat16)
            trained[f"{module}.lora_B.default.weight"] = random_tensor((outputs, LORA_RANK), torch.bfloat16)
        elif name.endswith(VOCABULARY):
            trained[f"{module}.modules_to_save.default.weight"] = random_tensor(shape, torch.bfloat16)
        elif name.startswith("mlp1."):
            trained[f"mllm.model.{name}"] = random_tensor(shape, torch.bfloat16)
        elif name.startswith(("text_hidden_fcs.", f"{SAM2_PREFIX}sam_mask_decoder.")):
            trained[name] = random_tensor(shape, torch.bfloat16)
    torch.save({"meta": {"cfg": TEXT}, "state_dict": trained}, path)


def write_layers(folder: Path, scale: float) -> None:
    """All three layers."""
    config = model_config(scale)
    shapes = official_shapes(after_training(config))
    write_base(folder / "base_mllm", config, shapes)
    write_sam2(folder / "sam2.pt", shapes)
    write_training(folder / "iter_1.pth", shapes)


def after_training(config: dict) -> dict:
    """The configuration of the converted model."""
    grown = config["llm_config"] | {"vocab_size": TOKENS + len(SA2VA_TOKENS)}
    return config | {"model_type": "sa2va_chat", "template": "qwen_chat", "llm_config": grown}


def files(folder: Path) -> list[Path]:
    """All files under a folder."""
    return [path for path in folder.rglob("*") if path.is_file()]


def size(folder: Path) -> int:
    """Bytes of all files under a folder."""
    return sum(path.stat().st_size for path in files(folder))


def forget(folder: Path) -> None:
    """Drop a folder's files from the page cache, so that they are read from the disk."""
    for path in files(folder):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def measured(command: list[str]) -> tuple[float, float, int]:
    """Wall and processor time in seconds and peak resident memory in bytes of a process."""
    start = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{command[0]} failed")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def main() -> None:
    """Write, convert, copy, print a table; status 1 where a bar is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--scale", type=float, default=1.0)
    arguments = parser.parse_args()
    shapes = official_shapes(after_training(model_config(arguments.scale)))
    weights = sum(map(prod, shapes.values())) * 2  # bytes in bfloat16
    # The base, the result, and the two files; the base makes room for the copy.
    require_free_space(arguments.folder, round(2 * weights + 5e9))
    with tempfile.TemporaryDirectory(prefix="convert_full_size_", dir=arguments.folder) as place:
        layers, result, copy = (Path(place) / name for name in ("layers", "result", "copy"))
        layers.mkdir()
        # In a process of its own: the memory of a parent counts as that of the processes it starts.
        writer = multiprocessing.get_context("spawn").Process(
            target=write_layers, args=(layers, arguments.scale)
        )
        writer.start()
        writer.join()
        read = size(layers)
        forget(layers)
        convert = [sys.executable, "-m", "refvessel.cli", "convert-checkpoint"]
        convert += ["--base-mllm", str(layers / "base_mllm"), "--sam2", str(layers / "sam2.pt")]
        convert += ["--checkpoint", str(layers / "iter_1.pth"), "--output", str(result)]
        seconds, busy, memory = measured(convert)
        written = size(result)
        subprocess.run(["rm", "-r", str(layers)], check=True)
        forget(result)
        plain, plain_busy, _ = measured(["sh", "-c", f"cp -r '{result}' '{copy}' && sync -f '{copy}'"])
    largest = max(map(prod, shapes.values())) * 2
    rows = [
        ("layers read", f"{read / 1e9:.2f} GB"),
        ("result written", f"{written / 1e9:.2f} GB, {len(shapes)} tensors"),
        ("conversion", f"{seconds:.1f} s, {written / seconds / 1e9:.2f} GB/s"),
        ("`cp` of the result", f"{plain:.1f} s, {written / plain / 1e9:.2f} GB/s"),
        (
            "processor time",
            f"conversion {busy:.0f} s, `cp` {plain_busy:.0f} s, load {os.getloadavg()[1]:.1f}",
        ),
        ("conversion / `cp`", f"{seconds / plain:.2f} (bar: {MAX_RATIO})"),
        ("peak resident memory", f"{memory / 1e9:.2f} GB (bar: {(MAX_RSS + largest) / 1e9:.2f})"),
        ("largest tensor", f"{largest / 1e9:.2f} GB"),
        ("cores", str(usable_cores())),
    ]
    print(f"\n| scale {arguments.scale:g} | |\n|---|---|")
    print("\n".join(f"| {name} | {value} |" for name, value in rows))
    if seconds > MAX_RATIO * plain or memory > MAX_RSS + largest:
        sys.exit("a bar is missed")


if __name__ == "__main__":
    main()
