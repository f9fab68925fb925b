"""Attention within windows of few tokens, several windows per program.

PyTorch's attention kernels give each window and head a tile of 64 or 128 rows, so that most of a tile is padding
where a window has 16 tokens. Here a tile holds as many whole windows as fit, and what lies outside a token's
own window is masked.
"""

import torch
import triton
import triton.language as tl

_LOG2_E = 1.4426950408889634


def attend_windows(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int, tile: int
) -> torch.Tensor:
    """Attention of each window's queries to its tokens.

    Args:
        query: (windows, queries, heads * size), in which windows and queries follow each other evenly.
        key: (windows, tokens, heads * size), likewise.
        value: likewise.
        heads: number of heads.
        tile: tokens of a program, a multiple of a window's; they and their queries are powers of 2 from 16 on.

    Returns:
        (windows, queries, heads * size)
    """
    windows, tokens, width = key.shape
    queries, size = query.shape[1], width // heads
    mixed = query.new_empty(query.shape)
    _attend[(triton.cdiv(windows * tokens, tile) * heads,)](
        query,
        key,
        value,
        mixed,
        windows,
        query.stride(1),
        key.stride(1),
        value.stride(1),
        size**-0.5 * _LOG2_E,
        HEADS=heads,
        SIZE=size,
        QUERIES=queries,
        TOKENS=tokens,
        WINDOWS=tile // tokens,
        PADDED=max(16, triton.next_power_of_2(size)),
    )
    return mixed


@triton.jit
def _attend(
    query,
    key,
    value,
    mixed,
    windows,
    query_stride,
    key_stride,
    value_stride,
    scale,
    HEADS: tl.constexpr,
    SIZE: tl.constexpr,
    QUERIES: tl.constexpr,
    TOKENS: tl.constexpr,
    WINDOWS: tl.constexpr,
    PADDED: tl.constexpr,
):
    program = tl.program_id(0)
    head = program % HEADS  # heads of a tile follow each other, as their channels do in memory
    first = (program // HEADS) * WINDOWS
    query_row = tl.arange(0, WINDOWS * QUERIES)
    row = tl.arange(0, WINDOWS * TOKENS)
    channel = tl.arange(0, PADDED)
    asking = (first + query_row // QUERIES < windows)[:, None] & (channel[None, :] < SIZE)
    asked = (first + row // TOKENS < windows)[:, None] & (channel[None, :] < SIZE)
    place = head * SIZE + channel[None, :]
    query_place = (first.to(tl.int64) * QUERIES + query_row)[:, None]
    key_row = (first.to(tl.int64) * TOKENS + row)[:, None]
    queries = tl.load(query + query_place * query_stride + place, mask=asking, other=0.0)
    keys = tl.load(key + key_row * key_stride + place, mask=asked, other=0.0)
    values = tl.load(value + key_row * value_stride + place, mask=asked, other=0.0)
    scores = tl.dot(queries, tl.trans(keys)) * scale  # to the base 2
    together = (query_row // QUERIES)[:, None] == (row // TOKENS)[None, :]
    scores = tl.where(together, scores, float("-inf"))
    weights = tl.exp2(scores - tl.max(scores, 1)[:, None])
    total = tl.sum(weights, 1)
    result = tl.dot(weights.to(values.dtype), values) / total[:, None]
    tl.store(mixed + query_place * (HEADS * SIZE) + place, result.to(mixed.dtype.element_ty), mask=asking)
