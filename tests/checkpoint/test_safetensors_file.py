import hashlib

import pytest
import torch
from safetensors.torch import load_file, save_file

from refvessel.checkpoint.safetensors_file import (
    Layout,
    create_safetensors,
    header,
    read_safetensors,
    write_tensor,
)
from refvessel.errors import UserError

TENSORS = {
    "a": torch.randn(3, 4, dtype=torch.bfloat16),
    "b": torch.randn(5),
    "c": torch.tensor(2.0),
    "d": torch.empty(0, 3),
    "é": torch.arange(6),
}


def test_a_file_of_the_library_is_read_lazily_and_bit_by_bit(tmp_path):
    save_file(TENSORS, tmp_path / "x.safetensors", metadata={"format": "pt"})
    stored = read_safetensors(tmp_path / "x.safetensors")
    assert stored.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert torch.equal(stored[name].rows(0, tensor.shape[0] if tensor.ndim else 1), tensor)


def test_the_library_reads_what_was_written_in_blocks_and_in_any_order(tmp_path):
    path = tmp_path / "x.safetensors"
    layouts = {name: Layout(tensor.dtype, tuple(tensor.shape)) for name, tensor in TENSORS.items()}
    offsets = create_safetensors(path, layouts)
    hashes = {
        name: write_tensor(path, offsets[name], tensor.split(2) if tensor.ndim else [tensor])
        for name, tensor in reversed(TENSORS.items())
    }
    written = load_file(path)
    assert written.keys() == TENSORS.keys()
    assert all(torch.equal(written[name], tensor) for name, tensor in TENSORS.items())
    assert hashes["b"] == hashlib.sha256(TENSORS["b"].numpy().tobytes()).hexdigest()
    assert path.stat().st_size == len(header(layouts)) + sum(layout.bytes for layout in layouts.values())


@pytest.mark.parametrize("kept", [0, 4, 40, -1])
def test_a_truncated_file_is_refused(kept, tmp_path):
    path = tmp_path / "x.safetensors"
    save_file(TENSORS, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"x\.safetensors is not a whole"):
        read_safetensors(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="check the path"):
        read_safetensors(tmp_path / "x.safetensors")


def test_a_dtype_that_cannot_be_merged_is_refused(tmp_path):
    save_file({"w": torch.zeros(2, dtype=torch.float8_e4m3fn)}, tmp_path / "x.safetensors")
    with pytest.raises(UserError, match="holds w as F8_E4M3"):
        read_safetensors(tmp_path / "x.safetensors")
