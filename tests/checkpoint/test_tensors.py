from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from refvessel.checkpoint.tensors import StoredTensor, contiguous_stride, row_blocks, span
from refvessel.errors import UserError


@settings(deadline=None)
@given(st.lists(st.integers(0, 3000), max_size=3).map(tuple))
def test_row_blocks_cover_every_row_once_in_order(shape):
    rows = [row for start, stop in row_blocks(shape) for row in range(start, stop)]
    assert rows == list(range(shape[0] if shape else 1))


def test_row_blocks_of_a_large_tensor_are_small():
    blocks = list(row_blocks((151_679, 3584)))
    assert max(stop - start for start, stop in blocks) * 3584 <= 1 << 22


@settings(deadline=None)
@given(st.lists(st.integers(1, 6), max_size=4).map(tuple))
def test_strides_and_spans_are_those_of_torch(shape):
    tensor = torch.empty(shape)
    assert contiguous_stride(shape) == tensor.stride()
    assert span(shape, tensor.stride()) == tensor.numel()


def test_rows_lie_where_the_tensor_starts(tmp_path: Path):
    (tmp_path / "x").write_bytes(b"head" + torch.arange(6.0).numpy().tobytes())
    stored = StoredTensor(tmp_path / "x", 4, torch.float32, (3, 2), (2, 1))
    assert stored.rows(1, 3).tolist() == [[2, 3], [4, 5]]


def test_a_file_that_shrank_is_named(tmp_path: Path):
    (tmp_path / "x").write_bytes(bytes(20))
    with pytest.raises(UserError, match="truncated"):
        StoredTensor(tmp_path / "x", 0, torch.float32, (3, 2), (2, 1)).rows(0, 3)
