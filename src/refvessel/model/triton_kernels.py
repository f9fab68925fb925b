"""Attention within windows of few tokens, several windows a program.

PyTorch's attention kernels give each window and head a tile of 64 or 128 rows, so that most of a tile is padding
where a window has 16 tokens. Here a tile holds as many whole windows as fit, and what lies outside a token's
own window is masked.
"""

import torch
import triton
import triton.language as tl

_LOG2_E = 1.4426950408889634


def attend_windows(qkv: torch.Tensor, heads: int, tile: int) -> torch.Tensor:
    """Attention of each window's tokens to each other.

    Args:
        qkv: contiguous (windows, tokens, 3 * heads * size).
        heads: number of heads.
        tile: tokens of a program, a multiple of a window's, and a power of 2 from 16 on.

    Returns:
        (windows, tokens, heads * size)
    """
    windows, tokens, width = qkv.shape
    rows, size = windows * tokens, width // (3 * heads)
    mixed = qkv.new_empty(windows, tokens, heads * size)
    _attend[(triton.cdiv(rows, tile) * heads,)](
        qkv,
        mixed,
        rows,
        size**-0.5 * _LOG2_E,
        HEADS=heads,
        SIZE=size,
        WINDOW=tokens,
        TILE=tile,
        PADDED=max(16, triton.next_power_of_2(size)),
    )
    return mixed


@triton.jit
def _attend(
    qkv,
    mixed,
    rows,
    scale,
    HEADS: tl.constexpr,
    SIZE: tl.constexpr,
    WINDOW: tl.constexpr,
    TILE: tl.constexpr,
    PADDED: tl.constexpr,
):
    program = tl.program_id(0)
    head = program % HEADS  # heads of a tile follow each other, as their channels do in memory
    row = (program // HEADS) * TILE + tl.arange(0, TILE)
    channel = tl.arange(0, PADDED)
    inside = (row[:, None] < rows) & (channel[None, :] < SIZE)
    place = row[:, None].to(tl.int64) * (HEADS * SIZE) + head * SIZE + channel[None, :]
    start = qkv + place + row[:, None].to(tl.int64) * (2 * HEADS * SIZE)
    query = tl.load(start, mask=inside, other=0.0)
    key = tl.load(start + HEADS * SIZE, mask=inside, other=0.0)
    value = tl.load(start + 2 * HEADS * SIZE, mask=inside, other=0.0)
    scores = tl.dot(query, tl.trans(key)) * scale  # to the base 2
    together = (row // WINDOW)[:, None] == (row // WINDOW)[None, :]
    scores = tl.where(together, scores, float("-inf"))
    weights = tl.exp2(scores - tl.max(scores, 1)[:, None])
    total = tl.sum(weights, 1)
    result = tl.dot(weights.to(value.dtype), value) / total[:, None]
    tl.store(mixed + place, result.to(mixed.dtype.element_ty), mask=inside)
