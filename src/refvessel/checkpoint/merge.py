"""One tensor of the result, computed block by block, and what is learnt about it on the way."""

from collections.abc import Iterator
from math import sqrt

import torch

from refvessel.checkpoint.safetensors_file import Layout
from refvessel.checkpoint.stack import Source
from refvessel.checkpoint.tensors import row_blocks


class Merge:
    """Streams W, or W + scale * B @ A computed in float32, in the output's dtype.

    Once `blocks` has ended, `delta_norm` is the Frobenius norm of the LoRA update (None without one), and
    `equals_base` says whether every element is what the base layers hold, in the output's dtype.
    """

    def __init__(self, source: Source, dtype: torch.dtype):
        value = source.value
        self.source = source
        self.layout = Layout(dtype, value.shape)
        self.equals_base = source.base is not None and source.base.shape == value.shape
        self._squared_delta = 0.0

    @property
    def delta_norm(self) -> float | None:
        """Frobenius norm of the LoRA update."""
        return sqrt(self._squared_delta) if self.source.lora else None

    def blocks(self) -> Iterator[torch.Tensor]:
        """Row blocks of the tensor in the layout's dtype."""
        value, base, lora = self.source.value, self.source.base, self.source.lora
        a = lora.a.rows(0, lora.a.shape[0]).float() if lora else None  # (rank, inputs)
        for start, stop in row_blocks(value.shape):
            block = value.rows(start, stop)
            if lora:
                delta = lora.scale * (lora.b.rows(start, stop).float() @ a)  # (rows, inputs)
                self._squared_delta += torch.linalg.vector_norm(delta, dtype=torch.float64).item() ** 2
                block = delta.add_(block.float())
            block = block.to(self.layout.dtype)
            if self.equals_base and (lora or base is not value):
                self.equals_base = torch.equal(block, base.rows(start, stop).to(self.layout.dtype))
            yield block
