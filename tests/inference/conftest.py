"""The demo model, and a small tree of demo frames to run it on."""

from pathlib import Path

import pytest

from refvessel.dataset.convert import convert_dataset
from refvessel.demo.labelme import write_labelme_folder
from refvessel.inference.run import segment_shard


@pytest.fixture(scope="session")
def tree(tmp_path_factory) -> Path:
    """Three frames, two expressions each."""
    folder = tmp_path_factory.mktemp("tree")
    write_labelme_folder(output=folder / "frames", patients=[0], frames=3)
    convert_dataset(
        source_format="labelme",
        root=folder / "frames",
        output=folder / "tree",
        phrases={"vessel": "blood vessel", "catheter": "catheter"},
        single_split="test",
        include_empty=True,
        key_file=folder / "key",
    )
    return folder / "tree"


@pytest.fixture(scope="session")
def segmented(tree, demo_model, tmp_path_factory) -> Path:
    """The whole split in one shard, image by image."""
    shard = tmp_path_factory.mktemp("segmented") / "all.jsonl"
    segment_shard(model=demo_model, dataset=tree, split="test", output=shard, batch_size=1)
    return shard
