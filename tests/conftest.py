"""Fixtures that every test may use."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder shared with developers and CI; tests that need it skip, saying so, where it is absent."""
    folder = _ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"the shared test data {folder.name}/ is not beside the project")
    return folder


@pytest.fixture(scope="session")
def parity(shared: Path) -> Path:
    """The parity cases: the official code's results on a very small model."""
    return shared / "parity" / "internvl_qwen2"


@pytest.fixture(scope="session")
def demo_layers() -> dict[str, Path]:
    """The layers of the demo's fine-tuned checkpoint, by the names of `convert_checkpoint`."""
    folder = _ROOT / "data" / "demo"
    (checkpoint,) = folder.glob("iter_*.pth")
    (sam2,) = folder.glob("sam2_*.pt")
    return {"base_mllm": folder / "base_mllm", "sam2": sam2, "checkpoint": checkpoint}


@pytest.fixture(scope="session")
def demo_model(demo_layers, tmp_path_factory) -> Path:
    """The demo's model as a Hugging Face folder, converted in float32."""
    from stages import convert_checkpoint

    folder = tmp_path_factory.mktemp("demo") / "model"
    convert_checkpoint(**demo_layers, pretrained=None, output=folder, dtype="float32")
    return folder


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """An empty file system of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.fixture(scope="session")
def tree(tmp_path_factory) -> Path:
    """Three frames, two expressions each."""
    from stages import convert_dataset

    from refvessel.demo.annotations import write_labelme_folder

    folder = tmp_path_factory.mktemp("tree")
    write_labelme_folder(output=folder / "frames", patients=[0], frames=3)
    convert_dataset(
        format="labelme",
        root=folder / "frames",
        output=folder / "tree",
        phrases={"vessel": "blood vessel", "catheter": "catheter"},
        single_split="test",
        include_empty=True,
        key_file=folder / "secret" / "key",
    )
    return folder / "tree"


@pytest.fixture(scope="session")
def segmented(tree, demo_model, tmp_path_factory) -> Path:
    """The whole split in one shard, image by image, with its logits."""
    from stages import segment_shard

    shard = tmp_path_factory.mktemp("segmented") / "all.jsonl"
    segment_shard(model=demo_model, dataset=tree, split="test", output=shard, batch_size=1, save_logits=True)
    return shard


@pytest.fixture
def run():
    """What a shard was made by."""
    from refvessel.predictions.shard import Run

    return Run(
        model="m",
        split="test",
        shard="1/1",
        question="?",
        dtype="float32",
        device="cpu",
        language_weights=None,
        batch_size=1,
        draft=None,
        max_new_tokens=9,
        flips=False,
        compiled=False,
        save_logits=False,
        code="c",
        versions={},
    )
