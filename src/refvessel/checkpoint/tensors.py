"""Tensors that stay on disk until a few of their rows are asked for."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from pathlib import Path

import torch

from refvessel.errors import UserError

_BLOCK_ELEMENTS = 1 << 20  # of a tensor held at a time; 4 MB in float32, which caches hold


@dataclass(frozen=True)
class StoredTensor:
    """A strided tensor inside a file, little-endian.

    `start` is the byte offset of its first element in the file; `stride` counts elements.
    Rows are read, not mapped: pages of a mapped 16 GB file would count as resident memory.
    """

    path: Path
    start: int
    dtype: torch.dtype
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def position(self) -> tuple[Path, int]:
        """File and byte offset of the first element."""
        return self.path, self.start

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """Rows `start` to `stop` of the first axis; a scalar is its own only row.

        Raises UserError where the file has shrunk since it was opened.
        """
        shape = (stop - start, *self.shape[1:]) if self.shape else ()
        first = start * self.stride[0] if self.shape else 0
        buffer = torch.empty(span(shape, self.stride), dtype=self.dtype)
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.start + first * self.dtype.itemsize)
            into = buffer.view(torch.uint8).numpy().data
            while into and (count := file.readinto(into)):
                into = into[count:]
        if into:
            raise UserError(f"{self.path} ends inside a tensor; it was truncated: copy it again.")
        return buffer.as_strided(shape, self.stride)


@dataclass(frozen=True)
class JoinedTensor:
    """A row-major tensor whose elements lie one after the other in several flat tensors of one dtype.

    The pieces together have at least `prod(shape)` elements; what follows them is padding.
    """

    shape: tuple[int, ...]
    pieces: tuple[StoredTensor, ...]

    @property
    def dtype(self) -> torch.dtype:
        """Of the elements."""
        return self.pieces[0].dtype

    @property
    def position(self) -> tuple[Path, int]:
        """File and byte offset of the first element."""
        return self.pieces[0].position

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """Rows `start` to `stop` of the first axis; a scalar is its own only row."""
        width = prod(self.shape[1:])
        ends = list(accumulate(piece.shape[0] for piece in self.pieces))
        parts = []
        for piece, end in zip(self.pieces, ends, strict=True):
            offset = end - piece.shape[0]
            first, last = max(start * width, offset), min(stop * width, end)
            if first < last:
                parts.append(piece.rows(first - offset, last - offset))
        flat = torch.cat(parts) if parts else torch.empty(0, dtype=self.dtype)
        return flat.reshape((stop - start, *self.shape[1:]) if self.shape else ())


LazyTensor = StoredTensor | JoinedTensor


def whole(tensor: LazyTensor) -> torch.Tensor:
    """All of a tensor, read."""
    return tensor.rows(0, tensor.shape[0] if tensor.shape else 1)


def row_blocks(shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Ranges of rows (start, stop) that make up the tensor, each of about a million elements, or one row."""
    count = shape[0] if shape else 1
    step = max(1, _BLOCK_ELEMENTS // max(1, prod(shape[1:])))
    for start in range(0, count, step):
        yield start, min(start + step, count)


def contiguous_stride(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The stride, in elements, of a row-major tensor."""
    return tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))


def span(shape: tuple[int, ...], stride: tuple[int, ...]) -> int:
    """Number of stored elements from the first to the last of a strided tensor, both included."""
    if 0 in shape:
        return 0
    return 1 + sum((side - 1) * step for side, step in zip(shape, stride, strict=True))
