from pathlib import Path

import pytest
import torch

from refvessel.checkpoint import tensors
from refvessel.checkpoint.merge import Merge
from refvessel.checkpoint.stack import Source, Update
from refvessel.checkpoint.tensors import StoredTensor, contiguous_stride


@pytest.fixture(autouse=True)
def several_blocks(monkeypatch):
    monkeypatch.setattr(tensors, "_BLOCK_ELEMENTS", 64)


@pytest.fixture
def stored(tmp_path: Path):
    def store(tensor: torch.Tensor) -> StoredTensor:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.bin"
        path.write_bytes(tensor.contiguous().view(torch.uint8).numpy().tobytes())
        shape = tuple(tensor.shape)
        return StoredTensor(path, 0, tensor.dtype, shape, contiguous_stride(shape))

    return store


def source(value, base, update=None) -> Source:
    return Source("any", value, base, update, frozenset())


def result(merge: Merge) -> torch.Tensor:
    blocks = list(merge.blocks())
    assert len(blocks) > 1
    return torch.cat(blocks)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lora_is_added_in_float32_and_rounded_once(dtype, stored):
    torch.manual_seed(0)
    weight, a, b = torch.randn(40, 24).bfloat16(), torch.randn(4, 24), torch.randn(40, 4)
    value = stored(weight)
    merge = Merge(source(value, value, Update("trained", 2.5, stored(b), stored(a))), dtype)
    delta = 2.5 * b.double() @ a.double()
    merged = result(merge)
    assert merged.dtype == dtype
    torch.testing.assert_close(
        merged.double(), weight.double() + delta, rtol=2**-8 if dtype.itemsize == 2 else 1e-6, atol=1e-5
    )
    assert merge.delta_norm == pytest.approx(delta.norm().item(), rel=1e-6)
    assert not merge.equals_base


def test_a_zero_update_has_norm_zero_and_equals_the_base(stored):
    value = stored(torch.randn(40, 24))
    pair = Update("trained", 2.0, stored(torch.zeros(40, 4)), stored(torch.randn(4, 24)))
    merge = Merge(source(value, value, pair), torch.float32)
    assert torch.equal(result(merge), value.rows(0, 40))
    assert merge.delta_norm == 0
    assert merge.equals_base


def test_a_single_element_tells_a_trained_tensor_from_the_base(stored):
    weight = torch.randn(40, 24)
    other = weight.clone()
    other[39, 23] += 1
    for trained, equal in ((weight, True), (other, False)):
        merge = Merge(source(stored(trained), stored(weight)), torch.float32)
        assert torch.equal(result(merge), trained)
        assert merge.equals_base is equal
        assert merge.delta_norm is None


def test_a_tensor_that_the_base_lacks_or_has_in_another_shape_does_not_equal_it(stored):
    weight = stored(torch.randn(40, 24))
    for base in (None, stored(torch.randn(38, 24))):
        merge = Merge(source(weight, base), torch.float32)
        result(merge)
        assert not merge.equals_base
