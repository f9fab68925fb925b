"""The layers that a fine-tuning run of the demo's base model leaves, and files built to harm."""

import json
import shutil
import sys
import types
import zipfile
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from stages import convert_checkpoint

from refvessel.checkpoint.tensors import StoredTensor
from refvessel.checkpoint.torch_file import read_torch_file
from refvessel.errors import UserError
from refvessel.model import official_tensors
from refvessel.model.naming import SAM2_PREFIX
from refvessel.model.official_tensors import official_shapes

# A trunk that the conversion tells by the shapes of its tensors, and what it then states.
TRUNK = {
    "embed_dim": 16,
    "num_heads": 1,
    "stages": [1, 2, 3, 1],
    "global_att_blocks": [4, 5],
    "window_spec": [8, 4, 16, 8],
    "window_pos_embed_bkg_spatial_size": [7, 7],
    "image_size": 1024,
    "hidden_dim": 256,
}
SA2VA_TOKENS = ["[SEG]", "<p>", "</p>", "<vp>", "</vp>"]
LORA_TARGETS = tuple(
    f"{name}_proj.weight"
    for name in ("q", "k", "v", "o", "gate", "up", "down")  # of each decoder layer
)
PEFT = "mllm.model.language_model.base_model.model."
TRAINING_CONFIG = """
template = 'internlm2_chat'
special_tokens = {tokens}
model = dict(
    type='projects.sa2va.models.Sa2VAModel',
    special_tokens=special_tokens,
    frozen_sam2_decoder=False,
    pretrained_pth=None,
    grounding_encoder=dict(type='projects.sa2va.models.SAM2TrainRunner', ckpt_path='sam2_hiera_micro.pt'),
    mllm=dict(
        type='projects.sa2va.models.InternVLMLLM',
        model_path='base_mllm',
        freeze_llm=True,
        freeze_visual_encoder=True,
        llm_lora=dict(
            type='peft.LoraConfig',
            r={rank},
            lora_alpha={alpha},
            lora_dropout=0.05,
            bias='none',
            task_type='CAUSAL_LM',
            modules_to_save=['embed_tokens', 'lm_head'])))
"""


@dataclass(frozen=True)
class Layers:
    """A folder as `write_layers` writes it."""

    folder: Path

    @property
    def base_mllm(self) -> Path:
        return self.folder / "base_mllm"

    @property
    def sam2(self) -> Path:
        return self.folder / "sam2_hiera_micro.pt"

    @property
    def checkpoint(self) -> Path:
        return self.folder / "iter_320.pth"

    def convert(self, output: Path, **changes: Any) -> dict[str, Any]:
        inputs = {
            "base_mllm": self.base_mllm,
            "sam2": self.sam2,
            "pretrained": None,
            "checkpoint": self.checkpoint,
            "dtype": "float32",
        }
        return convert_checkpoint(**(inputs | changes), output=output)


def write_layers(folder: Path, base: Path, *, seed: int, rank: int, alpha: int, peft_names: bool) -> None:
    """Write what a fine-tuning run of random outcome leaves, and what its conversion must give.

    base_mllm/             the given InternVL folder, silent about SAM2's trunk
    sam2_hiera_micro.pt    float32, of a trunk that is known by its shapes
    iter_320.pth           LoRA factors and trained modules, `meta`, pickled objects of mmengine's
    expected.safetensors   every tensor of the model in float32, by its official name
    expected_sources.json  official name -> the layer it is from, as conversion.json calls it

    Args:
        folder: an existing one.
        base: InternVL folder with weights in bfloat16.
        seed: of all random weights.
        rank: of the LoRA update.
        alpha: its scale is alpha / rank.
        peft_names: the names of LoRA and saved modules as peft itself saves them, not as mmengine does.
    """
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> torch.Tensor:
        return 0.1 * torch.randn(shape, generator=generator)

    shutil.copytree(base, folder / "base_mllm")
    config = json.loads((base / "config.json").read_text())
    del config["grounding_encoder_config"]
    (folder / "base_mllm/config.json").write_text(json.dumps(config))
    pretrained = load_file(base / "model.safetensors")
    language = config["llm_config"]
    vocabulary = language["vocab_size"] + len(SA2VA_TOKENS)
    sa2va = {"model_type": "sa2va_chat", "template": "qwen_chat", "grounding_encoder_config": TRUNK}
    shapes = official_shapes(config | sa2va | {"llm_config": language | {"vocab_size": vocabulary}})
    sam2 = {name: random(*shape) for name, shape in shapes.items() if name.startswith(SAM2_PREFIX)}

    default, saved = ("", "") if peft_names else (".default", ".modules_to_save.default")
    trained: dict[str, torch.Tensor] = {}
    expected: dict[str, torch.Tensor] = {}
    sources: dict[str, str] = {}
    for name, shape in shapes.items():
        module = name.removeprefix("language_model.").removesuffix(".weight")
        if name.endswith(LORA_TARGETS) and name.startswith("language_model."):
            a, b = random(rank, shape[1]), random(shape[0], rank)
            trained |= {
                f"{PEFT}{module}.lora_A{default}.weight": a,
                f"{PEFT}{module}.lora_B{default}.weight": b,
            }
            sources[name], expected[name] = "lora_merged", pretrained[name].float() + alpha / rank * (b @ a)
        elif stored := trained_name(name, saved):
            sources[name], expected[name] = "trained", random(*shape)
            trained[stored] = expected[name]
        elif name in sam2:
            sources[name], expected[name] = "sam2", sam2[name]
        else:
            sources[name], expected[name] = "base_mllm", pretrained[name].float()

    official = {name.removeprefix(SAM2_PREFIX).replace(".g_weight", ".gamma"): sam2[name] for name in sam2}
    torch.save({"model": official}, folder / "sam2_hiera_micro.pt")
    text = TRAINING_CONFIG.format(tokens=SA2VA_TOKENS, rank=rank, alpha=alpha)
    save_iteration(folder / "iter_320.pth", trained, text, seed)
    save_file(expected, folder / "expected.safetensors")
    (folder / "expected_sources.json").write_text(json.dumps(sources))


def trained_name(name: str, saved: str) -> str | None:
    """How training saves a whole tensor, its `saved` modules marked; None of one that it leaves as it was."""
    module = name.removeprefix("language_model.").removesuffix(".weight")
    if module in ("model.embed_tokens", "lm_head"):
        return f"{PEFT}{module}{saved}.weight"
    if name.startswith("mlp1."):
        return f"mllm.model.{name}"
    return name if name.startswith(("text_hidden_fcs.", f"{SAM2_PREFIX}sam_mask_decoder.")) else None


def save_iteration(path: Path, trained: dict[str, torch.Tensor], config: str, seed: int) -> None:
    """Save a checkpoint as mmengine does, an object of its own in it, though mmengine is not there."""
    module = types.ModuleType("mmengine.logging.history_buffer")
    module.HistoryBuffer = type("HistoryBuffer", (), {"__module__": module.__name__})
    losses = module.HistoryBuffer()
    losses._log_history, losses._count_history = np.geomspace(2, 0.1, 20), np.ones(20, np.int64)
    iteration = {
        "meta": {"cfg": config, "seed": seed, "epoch": 0, "iter": 320, "mmengine_version": "0.10.7"},
        "state_dict": trained,
        "message_hub": {"log_scalars": {"train/loss": losses}, "runtime_info": {"iter": 320}},
        "param_schedulers": [{"last_step": 320, "base_values": [4e-5]}],
    }
    parents = {name: types.ModuleType(name) for name in ("mmengine", "mmengine.logging")}
    with mock.patch.dict(sys.modules, parents | {module.__name__: module}):
        torch.save(iteration, path)


@pytest.fixture(scope="module", autouse=True)
def shapes_of_a_configuration_once() -> Iterator[None]:
    """Most tests convert to the same model: what tensors it has is found by building it, which takes long."""

    def once(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
        return dict(_shapes(json.dumps(config)))

    with mock.patch.object(official_tensors, "official_shapes", once):
        yield


@cache
def _shapes(config: str) -> dict[str, tuple[int, ...]]:
    return official_shapes(json.loads(config))


@pytest.fixture(scope="session")
def make_layers(
    demo_layers: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Layers]:
    def make(*, seed: int = 7, rank: int = 8, alpha: int = 16, peft_names: bool = False) -> Layers:
        folder = tmp_path_factory.mktemp("layers")
        base = demo_layers["base_mllm"]
        write_layers(folder, base, seed=seed, rank=rank, alpha=alpha, peft_names=peft_names)
        return Layers(folder)

    return make


@pytest.fixture(scope="session")
def layers(make_layers: Callable[..., Layers]) -> Layers:
    return make_layers()


@pytest.fixture(scope="session")
def trunk() -> dict[str, Any]:
    """`grounding_encoder_config` of the layers' SAM2."""
    return TRUNK


@pytest.fixture
def demo_case(demo_layers, tmp_path) -> "DemoCase":
    """The demo's layers, which every clone has, free to be changed."""
    return DemoCase(demo_layers, tmp_path)


@pytest.fixture(scope="session")
def plain(demo_model: Path) -> dict[str, torch.Tensor]:
    """The tensors of the demo's layers, converted in float32 as they are."""
    return load_file(demo_model / "model.safetensors")


@dataclass(frozen=True)
class DemoCase:
    """The demo's layers, of which the training checkpoint is saved anew with changes."""

    layers: dict[str, Path]
    folder: Path

    def trained(self, change: Callable[[dict], Any] = lambda content: None, name: str = "iter_7.pth") -> Path:
        """The training checkpoint, its content changed in place by a function."""
        content = loaded(self.layers["checkpoint"])
        change(content)
        torch.save(content, self.folder / name)
        return self.folder / name

    def convert(self, **changes: Any) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """The report and the tensors of a conversion in float32."""
        output = self.folder / "place/out"
        inputs = self.layers | {"pretrained": None, "dtype": "float32"} | changes
        report = convert_checkpoint(**inputs, output=output)
        return report, load_file(output / "model.safetensors")

    def refusal(self, **changes: Any) -> str:
        """The sentence of the error, having checked that nothing was written."""
        with pytest.raises(UserError) as caught:
            self.convert(**changes)
        assert not (self.folder / "place").exists()
        assert "\n" not in str(caught.value)
        return str(caught.value)


@pytest.fixture
def base_copy(layers: Layers, tmp_path: Path) -> Path:
    """The base folder, free to be changed."""
    return Path(shutil.copytree(layers.base_mllm, tmp_path / "base_mllm"))


def loaded(path: Path) -> dict[str, Any]:
    """A checkpoint's weights and metadata as torch would load them, to be changed and saved again."""
    return deepcopy(_loaded(path, path.stat().st_mtime_ns))


@cache
def _loaded(path: Path, _changed: int) -> dict[str, Any]:
    content = read_torch_file(path)

    def read(tree: Any) -> Any:
        if isinstance(tree, dict):
            return {key: read(value) for key, value in tree.items()}
        return tree.rows(0, tree.shape[0]).clone() if isinstance(tree, StoredTensor) else tree

    return {key: read(content[key]) for key in ("model", "state_dict", "meta") if key in content}


@pytest.fixture
def changed(tmp_path: Path) -> Callable[[Path, Callable[[dict], Any]], Path]:
    """Save a checkpoint again, with its content changed in place by a function."""

    def change(path: Path, function: Callable[[dict], Any]) -> Path:
        content = loaded(path)
        function(content)
        torch.save(content, tmp_path / path.name)
        return tmp_path / path.name

    return change


@pytest.fixture
def archive(tmp_path: Path) -> Callable[..., Path]:
    """Write a torch-like zip around any pickle program and any records."""

    def write(
        program: bytes, records: dict[str, bytes] | None = None, compression: int = zipfile.ZIP_STORED
    ) -> Path:
        path = tmp_path / "hostile.pth"
        with zipfile.ZipFile(path, "w", compression) as file:
            file.writestr("hostile/data.pkl", program)
            for name, content in (records or {}).items():
                file.writestr(name, content)
        return path

    return write
