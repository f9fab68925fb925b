"""InternLM2's fused query, key and value projections, joined and split."""

from collections.abc import Sequence

import torch


def join_groups(projections: Sequence[torch.Tensor], groups: int) -> torch.Tensor:
    """InternLM2's `wqkv` from query, key and value projections, each a tensor (heads * head size, ...).

    It holds, for each of the `groups` of query heads that share a key and a value head, the rows of those query
    heads, of the key head, and of the value head.
    """
    return torch.cat([each.unflatten(0, (groups, -1)) for each in projections], dim=1).flatten(0, 1)


def split_groups(fused: torch.Tensor, groups: int, head_size: int) -> list[torch.Tensor]:
    """The inverse of `join_groups`: query, key and value projections, contiguous."""
    rows = fused.unflatten(0, (groups, -1))  # (groups, (query heads a group + 2) * head size, ...)
    sizes = (rows.shape[1] - 2 * head_size, head_size, head_size)
    return [part.flatten(0, 1).contiguous() for part in rows.split(sizes, dim=1)]
