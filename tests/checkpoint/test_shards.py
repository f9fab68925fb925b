import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from refvessel.checkpoint.safetensors_file import Layout
from refvessel.checkpoint.shards import plan_shards, shards_index


@settings(deadline=None)
@given(st.lists(st.integers(0, 30)), st.integers(1, 100))
def test_shards_hold_every_tensor_in_order_and_within_the_limit(sizes, limit):
    layouts = {f"t{number}": Layout(torch.uint8, (size,)) for number, size in enumerate(sizes)}
    shards = plan_shards(layouts, limit)
    assert [name for shard in shards.values() for name in shard] == list(layouts)
    for shard in shards.values():
        assert sum(layout.bytes for layout in shard.values()) <= limit or len(shard) == 1


def test_files_are_numbered_and_indexed():
    layouts = {name: Layout(torch.float32, (2,)) for name in "abc"}
    shards = plan_shards(layouts, 16)
    assert shards_index(shards) == {
        "metadata": {"total_size": 24},
        "weight_map": {
            "a": "model-00001-of-00002.safetensors",
            "b": "model-00001-of-00002.safetensors",
            "c": "model-00002-of-00002.safetensors",
        },
    }


def test_one_file_suffices_for_a_small_model():
    assert list(plan_shards({"a": Layout(torch.float32, (2,))})) == ["model.safetensors"]
