"""The parity model's training layers, and files built to harm."""

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from refvessel.checkpoint.convert import convert_checkpoint
from refvessel.checkpoint.tensors import StoredTensor
from refvessel.checkpoint.torch_file import read_torch_file
from refvessel.errors import UserError


@dataclass(frozen=True)
class Layers:
    """A folder as make_checkpoint_layers.py writes it."""

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


@pytest.fixture(scope="session")
def make_layers(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Layers]:
    def make(*options: str) -> Layers:
        folder = tmp_path_factory.mktemp("layers")
        script = shared / "parity" / "make_checkpoint_layers.py"
        subprocess.run([sys.executable, str(script), str(folder), *options], check=True, capture_output=True)
        return Layers(folder)

    return make


@pytest.fixture(scope="session")
def layers(make_layers: Callable[..., Layers]) -> Layers:
    return make_layers()


@pytest.fixture
def demo_case(demo_layers, tmp_path) -> "DemoCase":
    """The demo's layers, which every clone has, free to be changed."""
    return DemoCase(demo_layers, tmp_path)


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
