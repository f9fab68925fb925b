"""What lies between a transformer's matmuls, each in one pass over memory."""

import torch
import triton
import triton.language as tl

from refvessel.model.triton_launching import launch

_ELEMENTS = 4096  # of a program, where a row has fewer
_COLUMNS = 1024  # of a program that gates


def norm_rows(
    states: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    epsilon: float,
    left_out: torch.Tensor | None,
) -> torch.Tensor:
    """Layer norm, or without a bias the norm of root mean squares, of contiguous (..., width).

    `left_out`, float32 (width,), is added first.
    """
    return _normed(states, None, weight, bias, epsilon, left_out)


def add_norm_rows_(
    states: torch.Tensor,
    added: torch.Tensor,
    scale: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    epsilon: float,
) -> torch.Tensor:
    """Add scale (width,) times `added` to contiguous (..., width); the norm of the sums, as of `norm_rows`."""
    return _normed(states, (added, scale), weight, bias, epsilon, None)


def _normed(
    states: torch.Tensor,
    addition: tuple[torch.Tensor, torch.Tensor] | None,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    epsilon: float,
    left_out: torch.Tensor | None,
) -> torch.Tensor:
    normed = torch.empty_like(states)
    width = states.shape[-1]
    rows = states.numel() // width
    block = triton.next_power_of_2(width)
    together = max(1, _ELEMENTS // block)
    added, scale = addition or (states, weight)  # what is not there is not read
    launch(
        _norm,
        (triton.cdiv(rows, together),),
        states,
        added,
        scale,
        weight if left_out is None else left_out,
        weight,
        weight if bias is None else bias,
        normed,
        rows,
        width,
        epsilon,
        LEFT_OUT=left_out is not None,
        ADDED=addition is not None,
        CENTRED=bias is not None,
        ROWS=together,
        BLOCK=block,
        num_warps=8,
    )
    return normed


@triton.jit(do_not_specialize=["rows"])
def _norm(
    states,
    added,
    scale,
    left_out,
    weight,
    bias,
    normed,
    rows,
    width,
    epsilon,
    LEFT_OUT: tl.constexpr,
    ADDED: tl.constexpr,
    CENTRED: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, BLOCK)
    within = column < width
    there = (row < rows)[:, None] & within[None, :]
    place = row.to(tl.int64)[:, None] * width + column[None, :]
    values = tl.load(states + place, mask=there, other=0.0).to(tl.float32)
    if LEFT_OUT:
        values += tl.load(left_out + column, mask=within, other=0.0)[None, :]
    if ADDED:
        scales = tl.load(scale + column, mask=within, other=0.0).to(tl.float32)
        values += scales[None, :] * tl.load(added + place, mask=there, other=0.0).to(tl.float32)
        stored = values.to(states.dtype.element_ty)
        tl.store(states + place, stored, mask=there)
        values = stored.to(tl.float32)
    if CENTRED:
        values = tl.where(there, values - (tl.sum(values, 1) / width)[:, None], 0.0)
    values = values * tl.rsqrt(tl.sum(values * values, 1) / width + epsilon)[:, None]
    values *= tl.load(weight + column, mask=within, other=0.0).to(tl.float32)[None, :]
    if CENTRED:
        values += tl.load(bias + column, mask=within, other=0.0).to(tl.float32)[None, :]
    tl.store(normed + place, values.to(normed.dtype.element_ty), mask=there)


def gate_rows_(gate: torch.Tensor, up: torch.Tensor) -> None:
    """SiLU of `gate` times `up`, in the place of `gate`: (rows, width), whose rows follow each other evenly."""
    rows, width = gate.shape
    launch(
        _gate,
        (rows, triton.cdiv(width, _COLUMNS)),
        gate,
        up,
        width,
        gate.stride(0),
        up.stride(0),
        COLUMNS=_COLUMNS,
    )


@triton.jit
def _gate(gate, up, width, gate_stride, up_stride, COLUMNS: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    there = column < width
    place = gate + row * gate_stride + column
    gates = tl.load(place, mask=there, other=0.0)
    ups = tl.load(up + row * up_stride + column, mask=there, other=0.0)
    values = gates.to(tl.float32)
    values = values / (1 + tl.exp(-values)) * ups.to(tl.float32)
    tl.store(place, values.to(gates.dtype), mask=there)


def rotate_rows_(query: torch.Tensor, key: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> None:
    """Turn the first channels of queries and keys by their positions, where they lie.

    Args:
        query: (tokens, heads, size), in which tokens and heads follow each other evenly.
        key: likewise, perhaps of fewer heads.
        cosine: contiguous (tokens, channels), both halves alike.
        sine: likewise.
    """
    half = cosine.shape[-1] // 2
    launch(
        _rotate_both,
        (len(query),),
        query,
        key,
        cosine,
        sine,
        query.stride(0),
        query.stride(1),
        key.stride(0),
        key.stride(1),
        query.shape[1],
        key.shape[1],
        half,
        QUERY_HEADS=triton.next_power_of_2(query.shape[1]),
        KEY_HEADS=triton.next_power_of_2(key.shape[1]),
        HALF=triton.next_power_of_2(half),
    )


@triton.jit
def _rotate_both(
    query,
    key,
    cosine,
    sine,
    query_stride,
    query_head_stride,
    key_stride,
    key_head_stride,
    query_heads,
    key_heads,
    half,
    QUERY_HEADS: tl.constexpr,
    KEY_HEADS: tl.constexpr,
    HALF: tl.constexpr,
):
    token = tl.program_id(0).to(tl.int64)
    channel = tl.arange(0, HALF)
    cosines = tl.load(cosine + token * 2 * half + channel, mask=channel < half, other=0.0).to(tl.float32)
    sines = tl.load(sine + token * 2 * half + channel, mask=channel < half, other=0.0).to(tl.float32)
    _rotate_heads(
        query + token * query_stride, query_head_stride, query_heads, cosines, sines, half, QUERY_HEADS, HALF
    )
    _rotate_heads(key + token * key_stride, key_head_stride, key_heads, cosines, sines, half, KEY_HEADS, HALF)


@triton.jit
def _rotate_heads(states, head_stride, heads, cosines, sines, half, HEADS: tl.constexpr, HALF: tl.constexpr):
    head = tl.arange(0, HEADS)
    channel = tl.arange(0, HALF)
    there = (head < heads)[:, None] & (channel < half)[None, :]
    place = states + head[:, None] * head_stride + channel[None, :]
    one = tl.load(place, mask=there, other=0.0)
    other = tl.load(place + half, mask=there, other=0.0)
    turned = one.to(tl.float32) * cosines[None, :] - other.to(tl.float32) * sines[None, :]
    other_turned = other.to(tl.float32) * cosines[None, :] + one.to(tl.float32) * sines[None, :]
    tl.store(place, turned.to(one.dtype), mask=there)
    tl.store(place + half, other_turned.to(one.dtype), mask=there)


def pool_rows(tokens: torch.Tensor, side: int) -> torch.Tensor:
    """The maximum of each 2x2 tokens of square windows.

    Args:
        tokens: (windows, side * side, channels), in which tokens follow each other evenly.
        side: of a window, even.

    Returns:
        (windows, side * side / 4, channels)
    """
    windows, count, channels = tokens.shape
    pooled = tokens.new_empty(windows, count // 4, channels)
    rows = windows * count // 4
    block = triton.next_power_of_2(channels)
    together = max(1, _ELEMENTS // 2 // block)
    launch(
        _pool,
        (triton.cdiv(rows, together),),
        tokens,
        pooled,
        rows,
        channels,
        tokens.stride(1),
        SIDE=side,
        ROWS=together,
        BLOCK=block,
    )
    return pooled


@triton.jit(do_not_specialize=["rows"])
def _pool(
    tokens, pooled, rows, channels, stride, SIDE: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr
):
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    channel = tl.arange(0, BLOCK)
    there = (row < rows)[:, None] & (channel < channels)[None, :]
    half: tl.constexpr = SIDE // 2
    window, within = row // (half * half), row % (half * half)
    first = window * (SIDE * SIDE) + within // half * 2 * SIDE + within % half * 2
    place = tokens + first[:, None] * stride + channel[None, :]
    above = tl.maximum(tl.load(place, mask=there), tl.load(place + stride, mask=there))
    place += SIDE * stride
    below = tl.maximum(tl.load(place, mask=there), tl.load(place + stride, mask=there))
    tl.store(pooled + row[:, None] * channels + channel[None, :], tl.maximum(above, below), mask=there)
