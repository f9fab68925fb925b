"""One tensor of the result, computed block by block, and what is learnt about it on the way."""

from collections.abc import Iterator

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
        self.delta_norm: float | None = None

    def bound(self, largest: float) -> float:
        """What no element of the result exceeds, where none of the value exceeds `largest`; cheap to compute."""
        if not self.source.update:
            return largest
        b, a = self.source.update.factors()
        rows, columns = b.double().norm(dim=1).max().item(), a.double().norm(dim=0).max().item()
        return largest + self.source.update.scale * rows * columns  # by the Cauchy-Schwarz inequality

    def blocks(self) -> Iterator[torch.Tensor]:
        """Row blocks of the tensor in the layout's dtype."""
        value, base, update = self.source.value, self.source.base, self.source.update
        if update:
            b, a = update.factors()  # (outputs, rank), (rank, inputs)
            self.delta_norm = update.scale * _product_norm(b, a)
        for start, stop in row_blocks(value.shape):
            block = value.rows(start, stop)
            if update:
                rows = block.float().reshape(stop - start, -1)
                block = rows.addmm_(b[start:stop], a, alpha=update.scale).view(block.shape)
            block = block.to(self.layout.dtype)
            if self.equals_base and base is not None and (update or base is not value):
                self.equals_base = torch.equal(block, base.rows(start, stop).to(self.layout.dtype))
            yield block


def _product_norm(b: torch.Tensor, a: torch.Tensor) -> float:
    """Frobenius norm of B @ A from matrices of the rank's size: |BA|^2 = trace(BᵀB AAᵀ), in float64."""
    a, b = a.double(), b.double()
    return ((b.T @ b) * (a @ a.T)).sum().clamp(min=0).sqrt().item()
