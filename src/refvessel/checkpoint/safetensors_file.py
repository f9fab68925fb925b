"""Safetensors files: lazy reading, and writing tensors in any order, a row block at a time."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open

from refvessel.checkpoint.tensors import StoredTensor, contiguous_stride
from refvessel.errors import UserError
from refvessel.files import require_content
from refvessel.safetensors_header import LENGTH, METADATA, read_header

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


class Layout(NamedTuple):
    """What a file says about a tensor before its data."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """Size of the data."""
        return self.elements * self.dtype.itemsize


def read_safetensors(path: Path) -> dict[str, StoredTensor]:
    """The tensors of a file by name, none of them read yet; raises UserError where the file is not whole."""
    try:
        require_content(path)
        with safe_open(path, framework="pt"):  # the library checks lengths, offsets and overlaps
            pass
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; check the path.") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is not a whole safetensors file ({error}); copy it again.") from None
    tensors = {}
    for name, stated in read_header(path).items():
        if stated.dtype not in _DTYPES:
            raise UserError(f"{path} holds {name} as {stated.dtype}; save it as float32 or bfloat16.")
        dtype, shape = _DTYPES[stated.dtype], stated.shape
        tensors[name] = StoredTensor(path, stated.begin, dtype, shape, contiguous_stride(shape))
    return tensors


def header(layouts: Mapping[str, Layout]) -> bytes:
    """Everything before the data, which follows in the order of `layouts`; a multiple of 8 bytes."""
    entries: dict[str, object] = {METADATA: {"format": "pt"}}
    end = 0
    for name, layout in layouts.items():
        start, end = end, end + layout.bytes
        entries[name] = {"dtype": _NAMES[layout.dtype], "shape": layout.shape, "data_offsets": [start, end]}
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return LENGTH.pack(len(text)) + text


def create_safetensors(path: Path, layouts: Mapping[str, Layout]) -> dict[str, int]:
    """Write a file's header and make room for its data; returns the byte offset of each tensor by name."""
    head = header(layouts)
    offsets, end = {}, len(head)
    for name, layout in layouts.items():
        offsets[name], end = end, end + layout.bytes
    with path.open("wb") as file:
        file.write(head)
        file.truncate(end)
    return offsets


def write_tensor(path: Path, offset: int, blocks: Iterable[torch.Tensor]) -> str:
    """Write a tensor's row blocks, in the dtype of its layout, from a byte offset; returns their SHA-256."""
    digest = hashlib.sha256()
    with path.open("r+b") as file:
        file.seek(offset)
        for block in blocks:
            content = block.contiguous().view(-1).view(torch.uint8).numpy().data
            digest.update(content)
            file.write(content)
    return digest.hexdigest()
