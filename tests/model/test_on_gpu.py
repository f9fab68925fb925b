"""What only a GPU computes: kernels that stand in for PyTorch's own, and weights stored in 8 bits."""

import gc

import pytest
import torch
from torch import nn
from torch.nn import functional

from refvessel.model.kernels import (
    LinearGelu,
    has_rotated_windows,
    has_small_windows,
    rotated_window_attention,
    window_attention,
)
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.official_tensors import official_state_dict
from refvessel.model.quantisation import LANGUAGE_WEIGHTS

if not torch.cuda.device_count():
    pytest.skip("there is no GPU here", allow_module_level=True)


def relative_error(found, expected):
    return ((found.float() - expected).norm() / expected.norm()).item()


def test_a_fused_layer_is_within_bfloat16_of_the_exact_one():
    torch.manual_seed(0)
    linear = nn.Linear(576, 2304, device="cuda")
    inputs = torch.randn(4, 100, 576, device="cuda")
    found = LinearGelu(linear.to(torch.bfloat16))(inputs.bfloat16())
    assert relative_error(found, functional.gelu(linear.float()(inputs.bfloat16().float()))) < 6e-3


@pytest.mark.parametrize(
    ("windows", "queries", "tokens", "heads", "size"),
    [(7, 16, 16, 4, 72), (5, 64, 64, 2, 72), (9, 4, 4, 2, 24), (7, 4, 16, 8, 72), (5, 16, 64, 4, 72)],
)
def test_attention_within_windows_is_that_of_pytorch(windows, queries, tokens, heads, size):
    torch.manual_seed(0)
    qkv = torch.randn(windows, tokens, 3 * heads * size, device="cuda", dtype=torch.bfloat16)
    query, key, value = qkv.chunk(3, -1)
    if queries < tokens:
        query = query[:, :queries].contiguous()
    assert has_small_windows(query, key)
    expected = functional.scaled_dot_product_attention(
        *(each.float().reshape(windows, -1, heads, size).transpose(1, 2) for each in (query, key, value))
    )
    found = window_attention(query, key, value, heads)
    assert relative_error(found, expected.transpose(1, 2).flatten(2)) < 6e-3


@pytest.mark.parametrize("size", [80, 24])
def test_attention_within_windows_of_several_sizes_turns_queries_and_keys(size):
    torch.manual_seed(0)
    heads, sizes = 4, [64, 5, 48, 3, 36, 2, 16, 6, 12, 1]
    windows = [rows for rows, count in zip(sizes[::2], sizes[1::2], strict=True) for _ in range(count)]
    qkv = torch.randn(sum(windows), 3 * heads * size, device="cuda", dtype=torch.bfloat16)
    angles = 40 * torch.rand(sum(windows), 1, size // 2, device="cuda")
    assert has_rotated_windows(qkv, sizes)
    cosine, sine = (torch.cat([part, part], -1) for part in (angles.cos(), angles.sin()))
    found = rotated_window_attention(qkv, cosine, sine, sizes, heads)
    query, key, value = qkv.float().unflatten(1, (3, heads, size)).unbind(1)
    turns = torch.polar(torch.ones_like(angles), angles)
    turned = (torch.complex(*each.chunk(2, -1)) * turns for each in (query, key))
    query, key = (torch.cat([each.real, each.imag], -1) for each in turned)
    expected = [
        functional.scaled_dot_product_attention(*(each.transpose(0, 1) for each in parts)).transpose(0, 1)
        for parts in zip(*(each.split(windows) for each in (query, key, value)), strict=True)
    ]
    assert relative_error(found, torch.cat(expected).flatten(1)) < 6e-3


def test_kernels_that_are_only_built_write_nothing_and_serve_the_next_launch():
    from refvessel.model.triton_launching import only_built
    from refvessel.model.triton_pointwise import _gate, gate_rows_

    device = torch.cuda.current_device()
    gate, up = torch.randn(2, 3, 96, device="cuda")
    before = gate.clone()
    _gate.device_caches[device][0].clear()
    with only_built(2):
        for _ in range(3):
            gate_rows_(gate, up)
    (built,) = _gate.device_caches[device][0].values()
    assert torch.equal(gate, before)
    gate_rows_(gate, up)
    assert list(_gate.device_caches[device][0].values()) == [built]
    assert relative_error(gate, functional.silu(before) * up) < 1e-6


def test_a_kernel_is_built_once_for_any_number_of_rows():
    from triton import knobs

    from refvessel.model.triton_kernels import attend_rotated_windows, attend_windows
    from refvessel.model.triton_pointwise import norm_rows, pool_rows

    built = []

    def take(rows):
        states = torch.randn(rows, 16, 192, device="cuda", dtype=torch.bfloat16)
        turns = torch.ones(16 * rows, 1, 16, device="cuda")
        norm_rows(states, states[0, 0], states[0, 0], 1e-6, None)
        pool_rows(states, 4)
        attend_windows(*states.chunk(3, -1), 4, 64)
        attend_rotated_windows(states.flatten(0, 1), turns, turns, [16, rows - 1, 4, 4], 4, 64)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(knobs.compilation, "listener", lambda *, src, **_: built.append(src.name))
        take(16)
        first = [*built]
        for rows in (17, 4, 2):
            take(rows)
    assert len(first) == 5  # rotated windows of two sizes
    assert built == first


@pytest.mark.parametrize("kind", LANGUAGE_WEIGHTS)
def test_a_gpu_holds_one_weight_at_a_time_in_full_precision(write_folder, config, kind):
    config["llm_config"] |= {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 8}
    with torch.device("cuda"):
        original = Sa2VAModel(Sa2VAModel.config_class(**config)).to(torch.bfloat16)
    tensors = official_state_dict(original.state_dict(), original.config.llm_config)
    folder = write_folder({name: tensor.cpu() for name, tensor in tensors.items()}, **config)
    del original, tensors
    gc.collect()
    torch.cuda.reset_peak_memory_stats()
    model = Sa2VAModel.load(folder, dtype=torch.bfloat16, device="cuda", language_weights=kind)
    weights = [parameter for name, parameter in model.named_parameters() if name.endswith("_proj.weight")]
    largest, together = max(each.numel() for each in weights), sum(each.numel() for each in weights)
    above = torch.cuda.max_memory_allocated() - torch.cuda.memory_allocated()
    assert above < 5 * 4 * largest < 2 * together  # float32 in all steps of quantising; bfloat16 as a whole
