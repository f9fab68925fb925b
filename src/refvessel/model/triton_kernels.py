"""Attention within windows of few tokens, several windows per program.

PyTorch's attention kernels give each window and head a tile of 64 or 128 rows, so that most of a tile is padding
where a window has 16 tokens. Here a tile holds as many whole windows as fit, and what lies outside a token's
own window is masked.
"""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl

from refvessel.model.triton_launching import launch

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
    launch(
        _attend,
        (triton.cdiv(windows * tokens, tile) * heads,),
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


@triton.jit(do_not_specialize=["windows"])
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
    scores = tl.dot(queries, tl.trans(keys)) * scale
    together = (query_row // QUERIES)[:, None] == (row // TOKENS)[None, :]
    result = _mix(scores, together, values)
    tl.store(mixed + query_place * (HEADS * SIZE) + place, result.to(mixed.dtype.element_ty), mask=asking)


def attend_rotated_windows(
    qkv: torch.Tensor,
    cosine: torch.Tensor,
    sine: torch.Tensor,
    sizes: Sequence[int],
    heads: int,
    tile: int,
) -> torch.Tensor:
    """Attention within windows of several sizes, of queries and keys that are turned by their positions.

    Args:
        qkv: contiguous (rows, 3 * heads * size), queries, keys and values, window by window.
        cosine: contiguous float32 (rows, 1, size), both halves alike.
        sine: likewise.
        sizes: rows of a window, the number of such windows, and so on.
        heads: number of heads.
        tile: rows of a program, a power of 2 from 16 on; no window has more.

    Returns:
        (rows, heads * size)
    """
    width = qkv.shape[1] // 3
    size = width // heads
    mixed = qkv.new_empty(len(qkv), width)
    start = 0
    for rows, windows in zip(sizes[::2], sizes[1::2], strict=True):
        launch(
            _attend_rotated,
            (triton.cdiv(windows, tile // rows) * heads,),
            qkv,
            cosine,
            sine,
            mixed,
            start,
            windows,
            size**-0.5 * _LOG2_E,
            HEADS=heads,
            SIZE=size,
            ROWS=rows,
            WINDOWS=tile // rows,
            TILE=tile,
            PADDED_HALF=max(16, triton.next_power_of_2(size // 2)),
            PADDED=max(16, triton.next_power_of_2(size)),
        )
        start += rows * windows
    return mixed


@triton.jit(do_not_specialize=["start", "windows"])
def _attend_rotated(
    qkv,
    cosine,
    sine,
    mixed,
    start,
    windows,
    scale,
    HEADS: tl.constexpr,
    SIZE: tl.constexpr,
    ROWS: tl.constexpr,
    WINDOWS: tl.constexpr,
    TILE: tl.constexpr,
    PADDED_HALF: tl.constexpr,
    PADDED: tl.constexpr,
):
    program = tl.program_id(0)
    head = program % HEADS
    first = (program // HEADS) * WINDOWS
    row = tl.arange(0, TILE)
    window = row // ROWS
    there = ((window < WINDOWS) & (first + window < windows))[:, None]
    place = (start + first.to(tl.int64) * ROWS + row)[:, None]
    half = tl.arange(0, PADDED_HALF)[None, :]
    channel = tl.arange(0, PADDED)[None, :]
    in_half, in_whole = there & (half < SIZE // 2), there & (channel < SIZE)
    cosines = tl.load(cosine + place * SIZE + half, mask=in_half, other=0.0)
    sines = tl.load(sine + place * SIZE + half, mask=in_half, other=0.0)
    states = qkv + place * (3 * HEADS * SIZE) + head * SIZE
    query, other_query = _rotate(states + half, cosines, sines, in_half, SIZE)
    key, other_key = _rotate(states + HEADS * SIZE + half, cosines, sines, in_half, SIZE)
    values = tl.load(states + 2 * HEADS * SIZE + channel, mask=in_whole, other=0.0)
    scores = tl.dot(query, tl.trans(key))
    scores = tl.dot(other_query, tl.trans(other_key), scores) * scale
    result = _mix(scores, window[:, None] == window[None, :], values)
    result_place = place * (HEADS * SIZE) + head * SIZE + channel
    tl.store(mixed + result_place, result.to(mixed.dtype.element_ty), mask=in_whole)


@triton.jit
def _rotate(pointers, cosines, sines, there, SIZE: tl.constexpr):
    """Both halves of states, turned in float32."""
    one = tl.load(pointers, mask=there, other=0.0)
    other = tl.load(pointers + SIZE // 2, mask=there, other=0.0)
    turned = one.to(tl.float32) * cosines - other.to(tl.float32) * sines
    other_turned = other.to(tl.float32) * cosines + one.to(tl.float32) * sines
    return turned.to(one.dtype), other_turned.to(one.dtype)


@triton.jit
def _mix(scores, together, values):
    """Values weighted by scores to the base 2, of what is together."""
    scores = tl.where(together, scores, float("-inf"))
    weights = tl.exp2(scores - tl.max(scores, 1)[:, None])
    total = tl.sum(weights, 1)
    return tl.dot(weights.to(values.dtype), values) / total[:, None]
