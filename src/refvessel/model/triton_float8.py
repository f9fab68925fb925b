"""What lies between a decoder layer's float8 matmuls, each in one pass over memory, with a scale for each row."""

import torch
import triton
import triton.language as tl

from refvessel.model.triton_launching import launch


def quantise_rows(
    states: torch.Tensor,
    other: torch.Tensor | None,
    weight: torch.Tensor | None,
    epsilon: float,
    largest: float,
    *,
    gated: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows in float8_e4m3fn, and float32 (rows, 1), what 1 stands for in each.

    Args:
        states: contiguous (rows, width).
        other: likewise: what is added to the states where they lie, or what their SiLU is multiplied with.
        weight: of the norm of root mean squares that follows, (width,).
        epsilon: of that norm.
        largest: the largest float8.
        gated: whether `other` is the latter.
    """
    rows, width = states.shape
    values = torch.empty_like(states, dtype=torch.float8_e4m3fn)
    scales = torch.empty(rows, 1, dtype=torch.float32, device=states.device)
    block = triton.next_power_of_2(width)
    launch(
        _quantise,
        (rows,),
        states,
        states if other is None else other,
        states if weight is None else weight,
        values,
        scales,
        width,
        epsilon,
        largest,
        ADDED=other is not None and not gated,
        GATED=gated,
        NORMED=weight is not None,
        BLOCK=block,
        num_warps=8 if block <= 8192 else 16,
    )
    return values, scales


@triton.jit
def _quantise(
    states,
    other,
    weight,
    quantised,
    scales,
    width,
    epsilon,
    largest,
    ADDED: tl.constexpr,
    GATED: tl.constexpr,
    NORMED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    there = column < width
    place = row * width + column
    values = tl.load(states + place, mask=there, other=0.0).to(tl.float32)
    if ADDED:
        stored = (values + tl.load(other + place, mask=there, other=0.0).to(tl.float32)).to(
            states.dtype.element_ty
        )
        tl.store(states + place, stored, mask=there)
        values = stored.to(tl.float32)
    if GATED:
        ups = tl.load(other + place, mask=there, other=0.0).to(tl.float32)
        values = values / (1 + tl.exp(-values)) * ups
    if NORMED:
        values *= tl.rsqrt(tl.sum(values * values, 0) / width + epsilon)
        values *= tl.load(weight + column, mask=there, other=0.0).to(tl.float32)
    scale = tl.maximum(tl.max(tl.abs(values), 0), 1e-20) / largest
    tl.store(quantised + place, (values / scale).to(quantised.dtype.element_ty), mask=there)
    tl.store(scales + row, scale)
